/** Texts that are hard for a regular expression: made of what it takes gladly, and ended by what it does not. */
import { RegExpParser } from '@eslint-community/regexpp';
import type { AST } from '@eslint-community/regexpp';

/** A text of any length: a beginning, something repeated, an end. */
export interface WorstInput {
  readonly before: string;
  readonly repeated: string;
  readonly after: string;
}

/** The text in about `length` characters. */
export function written({ before, repeated, after }: WorstInput, length: number): string {
  return `${before}${repeated.repeat(Math.max(1, Math.floor(length / repeated.length)))}${after}`;
}

/** What is repeated on every pattern, whatever it looks like. */
const PLAIN = [
  ...Array.from(` a0'"/*-$\\.,;:(_=\n\t%&@[]é\u{1f600}`),
  "''",
  '""',
  '/*',
  '*/',
  '--',
  '$$',
  '$a$',
  'a.',
  'a ',
  ' a',
  '; ',
  ', ',
  '\r\n',
  'eyJ',
  'set ',
  'a=',
  '\\\\',
];

/** Texts for a function of which nothing is known but how what it reads begins and ends. */
export function plainInputs(befores: readonly string[], afters: readonly string[]): readonly WorstInput[] {
  return PLAIN.flatMap((repeated) =>
    befores.flatMap((before) => afters.map((after) => ({ before, repeated, after }))),
  );
}

/** Single characters of all kinds that patterns tell apart. */
const CHARACTERS = Array.from(' \n\r\ta0A_zfZ9\'"./-*+\\$%,;:=@#!?&()[]{}<>|~^`é\u0080\u{1f600}\0');
/** What may stand where a pattern wants something else. */
const ENDS = ['', '\u0001', 'z', '!', '\n%'];
/** Of one element, the first of each kind are enough. */
const MOST_EACH = 6;
/** Shorter runs cost next to nothing. */
const SHORTEST_RUN = 32;

/** Texts that one element of a pattern takes; the shortest there are. */
class Samples {
  readonly #flags: string;
  readonly #known = new Map<string, readonly string[]>();

  constructor(flags: string) {
    this.#flags = flags.replace(/[gy]/g, '');
  }

  /** One that the element takes, with or without what is optional in it. */
  one(element: AST.Element | AST.Pattern | AST.Alternative, optional: boolean): string {
    if (element.type === 'Alternative')
      return element.elements.map((one) => this.one(one, optional)).join('');
    if (element.type === 'Assertion') return '';
    if (element.type === 'Character') return String.fromCodePoint(element.value);
    if (element.type === 'Quantifier') {
      const times = element.min || (optional && element.max > 0 ? 1 : 0);
      return this.one(element.element, optional).repeat(times);
    }
    if (element.type === 'Backreference') {
      const [group] = [element.resolved].flat();
      return group ? this.one(group, optional) : '';
    }
    if (element.type === 'Group' || element.type === 'CapturingGroup' || element.type === 'Pattern')
      return element.alternatives[0] ? this.one(element.alternatives[0], optional) : '';
    return this.all(element)[0] ?? '';
  }

  /** Several, of different kinds. */
  all(element: AST.Element): readonly string[] {
    const known = this.#known.get(element.raw);
    if (known) return known;
    const whole = new RegExp(`^(?:${element.raw})$`, this.#flags);
    const taken = CHARACTERS.filter((character) => whole.test(character)).slice(0, MOST_EACH);
    this.#known.set(element.raw, taken);
    return taken;
  }

  /** What a repetition of the element may be made of. */
  runs(element: AST.Element): readonly string[] {
    const plain = element.raw.includes('\\1') ? [] : this.all(element);
    const alternatives =
      element.type === 'Group' || element.type === 'CapturingGroup'
        ? element.alternatives.flatMap((one) => [this.one(one, false), this.one(one, true)])
        : [];
    return [...new Set([...plain, ...alternatives])].filter((text) => text !== '');
  }
}

/** What the pattern takes in front of `node` and behind it, without and with all that is optional. */
function around(node: AST.Node, samples: Samples): readonly { before: string; behind: string }[] {
  const text = (elements: readonly AST.Element[], optional: boolean): string =>
    elements.map((one) => samples.one(one, optional)).join('');
  return [false, true].map((optional) => {
    let [before, behind] = ['', ''];
    for (let at: AST.Node = node; at.parent; at = at.parent) {
      if (at.parent.type !== 'Alternative') continue;
      const { elements } = at.parent;
      const place = elements.indexOf(at as AST.Element);
      before = text(elements.slice(0, place), optional) + before;
      behind += text(elements.slice(place + 1), optional);
    }
    return { before, behind };
  });
}

/** All nodes of a pattern that repeat something without an end, or so often that it makes no difference. */
function repetitionsIn(node: AST.Node): readonly AST.Quantifier[] {
  const inner = (nodes: readonly AST.Node[]): readonly AST.Quantifier[] => nodes.flatMap(repetitionsIn);
  if (node.type === 'Quantifier')
    return [...(node.max >= SHORTEST_RUN ? [node] : []), ...repetitionsIn(node.element)];
  if (node.type === 'Alternative') return inner(node.elements);
  return 'alternatives' in node && node.type !== 'ClassStringDisjunction' ? inner(node.alternatives) : [];
}

/**
 * For each repetition of the pattern: what leads to it, then a run of what it takes, or of all of the way to it (so that the
 * search begins anew everywhere), then what is not wanted there. And {@link plainInputs}.
 */
export function worstInputs({ source, flags }: RegExp): readonly WorstInput[] {
  const samples = new Samples(flags);
  const pattern = new RegExpParser().parsePattern(source, 0, source.length, flags.includes('u'));
  const whole = samples.one(pattern, true);
  const inputs = repetitionsIn(pattern).flatMap((repetition) => {
    const places = around(repetition, samples);
    const ends = [...ENDS, ...places.flatMap(({ behind }) => [behind, `${behind}\u0001`, `${behind}z`])];
    return places.flatMap(({ before }) =>
      samples
        .runs(repetition.element)
        .flatMap((run) => [run, before, `${before}${run}`, `${whole}${run}`])
        .flatMap((repeated) => ends.map((after) => ({ before, repeated, after }))),
    );
  });
  const all = [...plainInputs(['', whole], ['', '\u0001']), ...inputs].filter(
    ({ repeated }) => repeated !== '',
  );
  return [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
}
