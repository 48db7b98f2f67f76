/** The generated parts of documents: each between a comment that says what it is of and one that ends it. */

/** A part, as its comment asks for it: `<!-- reference: options ListenOptions listen -->`. */
export interface Block {
  /** What it is: `options`. */
  readonly kind: string;
  /** What it is of: `ListenOptions`, `listen`. */
  readonly words: readonly string[];
}

const BLOCK = /^(<!-- reference: ([^\n]*?) -->\n)(.*?)^(<!-- \/reference -->)$/gms;

/** The parts of a document, in their order. */
export function blocksIn(text: string): readonly Block[] {
  return [...text.matchAll(BLOCK)].map(([, , asked = '']) => blockOf(asked));
}

/** A document with each part as `give` has it. */
export function withBlocks(text: string, give: (block: Block) => string): string {
  return text.replace(BLOCK, (_, start: string, asked: string, _old: string, end: string) => {
    return `${start}\n${give(blockOf(asked))}\n\n${end}`;
  });
}

function blockOf(asked: string): Block {
  const [kind = '', ...words] = asked.split(' ');
  return { kind, words };
}
