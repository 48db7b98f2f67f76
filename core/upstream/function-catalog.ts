/** The functions of a database that may leave state of a session, and the ways in which a statement may run one. */
import type { ServerConnection } from './connection.ts';
import type { Conversation } from './conversation.ts';
import { readBody } from './function-body.ts';
import type { FunctionBody } from './function-body.ts';
import { askIdle } from './idle-query.ts';
import {
  SEQUENCE_FUNCTIONS,
  STATE_FUNCTIONS,
  callsStateFunction,
  larger,
  mayFireTriggers,
  takesFromSequence,
} from '../sql/left-state.ts';
import type { LeftState } from '../sql/left-state.ts';
import { encodeExecutions, ownName, readOutcome } from './query.ts';
import type { Executions, TextRow } from './query.ts';
import { AT_ONCE } from './settings-query.ts';

/** More functions than these, longer sources, or more of them in all (characters) are not read: such functions may leave any state. */
const MOST_FUNCTIONS = 3_000;
const LONGEST_SOURCE = 20_000;
const MOST_SOURCE = 400_000;
/** How long the server may take, in milliseconds. */
const QUERY_MS = 500;

/** Extensions in C with volatile functions that leave nothing. The others' may, unless they are declared as stable or immutable. */
const HARMLESS_EXTENSIONS =
  'uuid-ossp,pgcrypto,moddatetime,insert_username,lo,tcn,pg_stat_statements,pg_buffercache,pgstattuple,pg_visibility,pg_freespacemap,pageinspect,amcheck,pg_prewarm,pgrowlocks,pg_walinspect';

/** Objects of initdb have smaller numbers (FirstNormalObjectId); user functions are all others. */
const FIRST = `16384::pg_catalog.oid`;

/** Extensions in C whose functions run texts of the caller, although they are declared as stable. */
const RUNNING_EXTENSIONS = 'tablefunc,xml2';

/** Operators and aggregates of users that run functions of PostgreSQL: pg_depend does not have these either. */
const DIRECT = `exists (select from pg_catalog.pg_proc as p
    where p.pronamespace operator(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid
      and p.proname operator(pg_catalog.=) any ($1::pg_catalog.name[])
      and (exists (select from pg_catalog.pg_operator as o where o.oid operator(pg_catalog.>=) ${FIRST}
          and o.oprcode::pg_catalog.oid operator(pg_catalog.=) p.oid)
        or exists (select from pg_catalog.pg_aggregate as a where a.aggfnoid::pg_catalog.oid operator(pg_catalog.>=) ${FIRST}
          and p.oid operator(pg_catalog.=) any (array[a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
            a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn]::pg_catalog.oid[]))))`;

/** Calls of functions in stored expressions, and an UPDATE of pg_settings, which is one (54.25): node trees have their numbers. */
const calls = (names: string): string => `(select pg_catalog.concat(':funcid (',
    pg_catalog.string_agg(p.oid::pg_catalog.text, '|'), ') |:relid ',
    'pg_catalog.pg_settings'::pg_catalog.regclass::pg_catalog.oid, ' ') from pg_catalog.pg_proc as p
    where p.pronamespace operator(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace::pg_catalog.oid
      and p.proname operator(pg_catalog.=) any (${names}::pg_catalog.name[]))`;

const tree = (use: string, expression: string, table: string): string =>
  `select '${use}'::pg_catalog.text, (${expression})::pg_catalog.text from pg_catalog.${table}
    where oid operator(pg_catalog.>=) ${FIRST} and ${expression} is not null`;

/**
 * Functions, types and operators carry their schema, as in every statement of the gateway. A dependency on PostgreSQL's own
 * functions is not in pg_depend, so stored expressions are searched for them; a rule that writes may fill columns from sequences.
 */
const EXPRESSIONS = `/* the gateway looks which functions may leave state */
with tree(use, text) as (
  ${[
    tree('all', 'ev_action', 'pg_rewrite'),
    tree('all', 'ev_qual', 'pg_rewrite'),
    tree('all', 'conbin', 'pg_constraint'),
    tree('all', 'polqual', 'pg_policy'),
    tree('all', 'polwithcheck', 'pg_policy'),
    tree('all', 'typdefaultbin', 'pg_type'),
    tree('writes', 'adbin', 'pg_attrdef'),
    tree('writes', 'tgqual', 'pg_trigger'),
  ].join('\n  union all ')})
select 'state', t.use from tree as t where t.text operator(pg_catalog.~) ${calls('$1')} group by t.use
union all select 'sequences', t.use from tree as t
  where t.use operator(pg_catalog.=) 'all' and t.text operator(pg_catalog.~) ${calls('$2')} group by t.use
union all select 'sequences', 'writes' where exists (select from pg_catalog.pg_rewrite as r
  where r.oid operator(pg_catalog.>=) ${FIRST} and r.ev_type::pg_catalog.text operator(pg_catalog.<>) '1')
union all select 'state', 'all' where ${DIRECT}
union all select 'sequences', 'words' where exists (select from pg_catalog.pg_sequence)`;

const EXTENSION = `select e.extname from pg_catalog.pg_depend as d
    join pg_catalog.pg_extension as e on e.oid operator(pg_catalog.=) d.refobjid
    where d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
      and d.objid operator(pg_catalog.=) p.oid
      and d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid
      and d.deptype::pg_catalog.text operator(pg_catalog.=) 'e'`;

/** Objects besides functions that depend on one run it by themselves: triggers when rows are written, all others maybe in any statement. */
const USE = `select case when pg_catalog.bool_or(d.classid operator(pg_catalog.<>)
      'pg_catalog.pg_trigger'::pg_catalog.regclass::pg_catalog.oid) then 'all' else 'writes' end
    from pg_catalog.pg_depend as d
    where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
      and d.refobjid operator(pg_catalog.=) p.oid
      and d.classid operator(pg_catalog.<>) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
    having pg_catalog.count(*) operator(pg_catalog.>) 0`;

const CALLED = `select pg_catalog.string_agg(d.refobjid::pg_catalog.text, ',') from pg_catalog.pg_depend as d
    where d.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
      and d.objid operator(pg_catalog.=) p.oid
      and d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid`;

/** The first letter of a body: it leaves nothing, it may leave any state, or its source follows; one that is an expression is shown as SQL. */
const FUNCTIONS = `/* the gateway looks which functions may leave state */
with f as materialized (select p.oid, p.proname, l.lanname, p.provolatile::pg_catalog.text as volatility,
    p.prokind::pg_catalog.text as kind, (${EXTENSION} limit 1) as extension, (${USE}) as use, (${CALLED}) as called,
    case when l.lanname operator(pg_catalog.=) any ('{sql,plpgsql}'::pg_catalog.name[]) then
      pg_catalog.concat(coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc), ' ',
        pg_catalog.pg_get_expr(p.proargdefaults, 0::pg_catalog.oid)) end as source
  from pg_catalog.pg_proc as p join pg_catalog.pg_language as l on l.oid operator(pg_catalog.=) p.prolang
  where p.oid operator(pg_catalog.>=) ${FIRST}),
total as (select pg_catalog.sum(pg_catalog.octet_length(f.source)) as bytes from f),
read as (select f.oid, f.proname, f.use, f.called, case
    when f.kind operator(pg_catalog.=) 'a' then 'n'
    when f.source is not null then
      case when total.bytes operator(pg_catalog.>) ${MOST_SOURCE}
        or pg_catalog.octet_length(f.source) operator(pg_catalog.>) ${LONGEST_SOURCE} then 'a'
      else pg_catalog.concat('s', f.source) end
    when f.lanname operator(pg_catalog.=) any ('{c,internal}'::pg_catalog.name[]) and f.extension is not null
      and f.extension operator(pg_catalog.<>) all ('{${RUNNING_EXTENSIONS}}'::pg_catalog.name[])
      and (f.volatility operator(pg_catalog.<>) 'v'
        or f.extension operator(pg_catalog.=) any ('{${HARMLESS_EXTENSIONS}}'::pg_catalog.name[])) then 'n'
    else 'a' end as body
  from f, total)
select r.oid::pg_catalog.text, r.proname::pg_catalog.text, r.use, r.called, r.body from read as r
  where r.body operator(pg_catalog.<>) 'n' or r.called is not null limit ${MOST_FUNCTIONS + 1}`;

/** One batch: one transaction, with which the time limit ends. */
const QUERIES: readonly Executions[] = [
  {
    sql: `/* the gateway asks for functions */ select pg_catalog.set_config('statement_timeout', '${QUERY_MS}', true)`,
    values: [[]],
  },
  { sql: EXPRESSIONS, values: [[`{${STATE_FUNCTIONS.join(',')}}`, `{${SEQUENCE_FUNCTIONS.join(',')}}`]] },
  { sql: FUNCTIONS, values: [[]] },
];
const BATCH = encodeExecutions(...QUERIES);

/** Asks an idle server on a connection without state; {@link FunctionCatalog.unknown} if it refuses. Rejects as {@link Conversation.next} does. */
export async function queryFunctions(talk: Conversation): Promise<FunctionCatalog> {
  talk.send(BATCH);
  const { rows, error } = await readOutcome(talk);
  return error ? FunctionCatalog.unknown : FunctionCatalog.of(rows);
}

/**
 * The functions that may leave settings, as {@link FunctionCatalog.ofSetters}; asked between two transactions of a session, whose unnamed
 * statement stays. {@link FunctionCatalog.unknown} if the server refuses. Default `ms`: as {@link askIdle}.
 * @throws GatewayError as {@link askIdle}
 */
export async function querySetters(connection: ServerConnection, ms?: number): Promise<FunctionCatalog> {
  const batch = encodeExecutions(...[AT_ONCE, ...QUERIES].map((one) => ({ ...one, name: ownName() })));
  const { rows, error } = await askIdle(connection, { batch, about: 'its functions', ms });
  return error ? FunctionCatalog.unknown : FunctionCatalog.ofSetters(rows);
}

/** Names that stand in statements as they are, but for upper and lower case. */
const PLAIN = /^[a-z_][a-z0-9_$]*$/i;
const WORD_CHARACTER = /[\w$]/;
/** More names than these are not looked for in each text. */
const MOST_NAMES = 500;

/** A function while the catalog is made. */
interface UserFunction {
  readonly oid: string;
  /** In lower case. */
  readonly name: string;
  /** Which statements may run it although they do not name it. */
  readonly use: 'all' | 'writes' | undefined;
  /** Functions that it runs, where the server knows them. */
  readonly called: readonly string[];
  /** Undefined: it leaves nothing by itself. */
  readonly body: FunctionBody | undefined;
  readonly changesContext: boolean;
  leaves: LeftState;
}

/** The state that statements may leave by the way in which they run functions. */
interface Ways {
  /** Any statement: by views, policies, operators, casts and the like. */
  all: LeftState;
  /** Statements that write: by triggers, rules and defaults. */
  writes: LeftState;
}

/** What functions may leave, and which statements run them. */
class Reach {
  readonly ways: Readonly<Ways>;
  /** Functions that leave something, by their names in lower case. */
  readonly #names: ReadonlyMap<string, LeftState>;

  constructor(ways: Readonly<Ways>, names: ReadonlyMap<string, LeftState>) {
    const plain = [...names.keys()].every((name) => PLAIN.test(name)) && names.size <= MOST_NAMES;
    this.ways = plain ? ways : { all: 'state', writes: 'state' };
    this.#names = names;
  }

  /** `left`: what the statement leaves in any case. */
  of(text: string, left: LeftState = this.ways.all): LeftState {
    const { writes } = this.ways;
    const all = writes !== 'nothing' && mayFireTriggers(text) ? larger(left, writes) : left;
    return this.#names.size === 0 || all === 'state' ? all : larger(all, this.#byName(text));
  }

  #byName(text: string): LeftState {
    const lower = text.toLowerCase();
    let left: LeftState = 'nothing';
    for (const [name, leaves] of this.#names) if (hasWord(lower, name)) left = larger(left, leaves);
    return left;
  }
}

const NO_WAYS: Readonly<Ways> = { all: 'nothing', writes: 'nothing' };

/** What is known of one database at one time; immutable. */
export class FunctionCatalog {
  /** Any statement may leave any state. */
  static readonly unknown = new FunctionCatalog(
    new Reach({ all: 'state', writes: 'state' }, new Map()),
    new Reach(NO_WAYS, new Map()),
    false,
  );

  readonly #state: Reach;
  /** `state` stands for a change until the transaction ends of what later texts mean. */
  readonly #context: Reach;
  readonly #hasSequences: boolean;

  private constructor(state: Reach, context: Reach, hasSequences: boolean) {
    this.#state = state;
    this.#context = context;
    this.#hasSequences = hasSequences;
  }

  /** Makes it of the answer of {@link queryFunctions}. */
  static of(rows: readonly TextRow[]): FunctionCatalog {
    const ways: Ways = { all: 'nothing', writes: 'nothing' };
    let hasSequences = false;
    for (const [leaves, use] of rows.filter((row) => row.length === 2)) {
      if (use === 'words') hasSequences = true;
      else note(ways, use ?? 'all', leaves === 'state' ? 'state' : 'sequences');
    }
    const functions = rows.filter((row) => row.length === 5).map(userFunction);
    if (functions.length > MOST_FUNCTIONS) return FunctionCatalog.unknown;
    const changing = functions.map((one): UserFunction => ({
      ...one,
      leaves: one.changesContext ? 'state' : 'nothing',
    }));
    const changes = { ...NO_WAYS };
    const context = new Reach(changes, settle(changing, changes, true));
    return new FunctionCatalog(new Reach(ways, settle(functions, ways, hasSequences)), context, hasSequences);
  }

  /**
   * The same for settings alone: `state` stands for those. What is stored in other objects than functions (views, defaults, …) is taken to
   * leave none by itself: a view of pg_settings would make each statement one that sets something.
   */
  static ofSetters(rows: readonly TextRow[]): FunctionCatalog {
    const functions = rows.filter((row) => row.length === 5).map(userFunction);
    if (functions.length > MOST_FUNCTIONS) return FunctionCatalog.unknown;
    for (const one of functions)
      one.leaves = one.body?.sets === false || one.leaves === 'nothing' ? 'nothing' : 'state';
    const ways: Ways = { all: 'nothing', writes: 'nothing' };
    const state = new Reach(ways, settle(functions, ways, false));
    return new FunctionCatalog(state, new Reach(NO_WAYS, new Map()), false);
  }

  /** The state that a statement with this text may leave, besides that which is seen by tags, `set_config`, locks and temporary objects. */
  leaves(text: string): LeftState {
    const { all } = this.#state.ways;
    if (all === 'state' || callsStateFunction(text)) return 'state';
    return this.#state.of(text, this.#hasSequences && takesFromSequence(text) ? 'sequences' : all);
  }

  /** Whether a statement with this text may run a function that changes what later texts of its transaction mean, and leaves nothing. */
  changesContext(text: string): boolean {
    return this.#context.of(text) !== 'nothing';
  }
}

function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const [before = ' ', after = ' '] = [text[at - 1], text[at + word.length]];
    if (!WORD_CHARACTER.test(before) && !WORD_CHARACTER.test(after)) return true;
  }
  return false;
}

function userFunction([oid, name, use, called, body]: TextRow): UserFunction {
  const source = body?.startsWith('s') ? readBody(body.slice(1)) : undefined;
  return {
    oid: oid ?? '',
    name: (name ?? '').toLowerCase(),
    use: use === 'all' || use === 'writes' ? use : undefined,
    called: called?.split(',') ?? [],
    body: source,
    changesContext: source?.changesContext === true,
    leaves: body === 'n' ? 'nothing' : (source?.leaves ?? 'state'),
  };
}

function note(ways: Ways, use: string, leaves: LeftState): boolean {
  const [before, way] = [ways, use === 'writes' ? 'writes' : 'all'] as const;
  const after = larger(before[way], leaves);
  const changes = after !== before[way];
  ways[way] = after;
  return changes;
}

/** Functions that run functions, until nothing changes any more; those that leave something, by name. */
function settle(
  functions: readonly UserFunction[],
  ways: Ways,
  hasSequences: boolean,
): ReadonlyMap<string, LeftState> {
  if (!hasSequences) for (const one of functions) if (one.leaves === 'sequences') one.leaves = 'nothing';
  const byOid = new Map(functions.map((one) => [one.oid, one]));
  const names = new Map<string, LeftState>();
  for (let changed = true; changed;) {
    changed = false;
    for (const { name, leaves, use } of functions) {
      if (leaves === 'nothing') continue;
      names.set(name, larger(names.get(name) ?? 'nothing', leaves));
      if (use && note(ways, use, leaves)) changed = true;
    }
    for (const one of functions) {
      const leaves = leavesWith(one, { names, ways, byOid });
      changed ||= leaves !== one.leaves;
      one.leaves = leaves;
    }
  }
  return names;
}

interface Known {
  readonly names: ReadonlyMap<string, LeftState>;
  readonly ways: Ways;
  readonly byOid: ReadonlyMap<string, UserFunction>;
}

/** What a function may leave by those that it runs. */
function leavesWith({ leaves, body, called }: UserFunction, { names, ways, byOid }: Known): LeftState {
  let all = leaves;
  for (const oid of called) all = larger(all, byOid.get(oid)?.leaves ?? 'nothing');
  if (!body || all === 'state') return all;
  if (body.writes) all = larger(all, ways.writes);
  for (const [name, left] of names) if (body.words.has(name)) all = larger(all, left);
  return all;
}
