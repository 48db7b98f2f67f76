/** Patterns of a map: `*` stands for any number of characters, and nothing else is special. */

/**
 * Whether a text is matched as a whole. One pass over the text, whatever it is: each piece is looked for behind the one before,
 * and the first place is as good as any later one.
 */
export function matcherOf(pattern: string): (text: string) => boolean {
  const [first = '', ...more] = pattern.split('*');
  const last = more.pop();
  if (last === undefined) return (text) => text === pattern;
  const between = more.filter((piece) => piece !== '');
  return (text) => {
    if (text.length < first.length + last.length) return false;
    if (!text.startsWith(first) || !text.endsWith(last)) return false;
    const end = text.length - last.length;
    let from = first.length;
    for (const piece of between) {
      const at = text.indexOf(piece, from);
      if (at < 0 || at + piece.length > end) return false;
      from = at + piece.length;
    }
    return true;
  };
}
