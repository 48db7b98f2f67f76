/** Recognises `SET postern.x = '…'` as the whole text of a statement: it is for the gateway, never for the server. */
import { GatewayError } from '../errors.ts';

/** What a statement of the gateway's own name space says. */
export interface InBandSetting {
  /** Lower case, with the `postern.` in front. */
  readonly name: `postern.${string}`;
  readonly value: string;
}

const isSpace = (byte = 0): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
const SET = [0x73, 0x65, 0x74];
/** Longest way to write what precedes the name; a longer run of white space is not looked through. */
const LOOK_BYTES = 512;
const BEGINNING = /^\s*set\s+(?:session\s+|local\s+)?"?postern"?\s*\./i;
const WHOLE =
  /^\s*set\s+(?:session\s+|local\s+)?(?:"postern"|postern)\s*\.\s*(?:"([a-z_.]{1,60})"|([a-z_.]{1,60}))(?:\s*=\s*|\s+to\s+)'((?:[^'\\]|'')*)'\s*(?:;\s*)?$/i;

/** Cheap: looks at a few bytes of nearly every statement. `from` is where the SQL text starts. */
export function looksInBand(text: Buffer, from: number): boolean {
  let at = from;
  while (isSpace(text[at])) at += 1;
  // "set" and white space: most texts are told apart here, and a "select" too.
  for (const letter of SET) if (((text[at++] ?? 0) | 0x20) !== letter) return false;
  if (!isSpace(text[at])) return false;
  return BEGINNING.test(text.toString('latin1', from, Math.min(text.length, from + LOOK_BYTES)));
}

/** Reads the setting. @throws GatewayError if the statement is anything but one well-formed SET. */
export function parseInBand(sql: string): InBandSetting {
  const match = WHOLE.exec(sql);
  const name = (match?.[1] ?? match?.[2])?.toLowerCase();
  const value = match?.[3];
  if (name === undefined || value === undefined) {
    throw new GatewayError(
      'invalid_parameter_value',
      'settings of the gateway are set alone and by a literal',
      {
        hint: "SET postern.name = 'value' as the whole statement.",
      },
    );
  }
  return { name: `postern.${name}`, value: value.replaceAll("''", "'") };
}
