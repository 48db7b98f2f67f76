/** Why a text is no token at all, for whoever has to mend it: what stands around one, or that it is something else. */

/** What a compact token is made of (RFC 7515 §7.1). */
const WHOLE = /^[A-Za-z0-9_.-]*$/;
const QUOTES = ['"', "'", '`', '“', '‘'];

/** The beginning of the JSON of every header, in base64url. */
const looksLikeToken = (text: string): boolean => text.includes('eyJ') && text.split('.', 3).length === 3;

/** Nothing of the text is repeated: it may be a password. */
function around(text: string): string {
  const bare = text.trim();
  if (bare.startsWith('{')) return 'a JSON document with a token in it: give the token alone';
  if (QUOTES.includes(bare.charAt(0))) return 'quotes around the token';
  if (/^bearer\s/i.test(bare)) return "'Bearer ' in front of the token";
  if (bare !== text) return 'white space before or behind the token';
  if (/\s/.test(bare)) return 'white space inside of the token, such as a line break';
  if (bare.includes('=')) return 'padding (=) in the token, which the compact form does not have';
  if (/[+/]/.test(bare)) return 'the token is in base64, and has to be in base64url';
  return 'a character in the token that no token has';
}

/** Undefined for a text that may be one. Takes time in proportion to the length. */
export function misshapen(text: string): string | undefined {
  if (WHOLE.test(text)) {
    if (text.includes('.')) return undefined;
  } else if (looksLikeToken(text)) return around(text);
  return 'not a JWT: a password, an API key or an opaque token?';
}
