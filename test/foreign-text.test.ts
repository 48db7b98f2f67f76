/** No function that reads text of a client, a token, a request or a file takes more than proportional time for it. */
import { expect, test } from 'vitest';
import { parseAddress } from '../core/options/addresses.ts';
import { parseLine } from '../core/client/proxy-protocol-v1.ts';
import { parseCommands } from '../plugins/console/admin-commands.ts';
import { parseNetwork } from '../core/options/networks.ts';
import { deallocated } from '../core/relay/prepared/deallocate.ts';
import { looksInBand, parseInBand } from '../core/relay/statements/gateway-commands.ts';
import { mayDiscard, originOf, statementOf } from '../core/relay/prepared/prepared-statement.ts';
import { descriptionOf } from '../core/relay/prepared/description.ts';
import { pinReason } from '../core/relay/session-state-detection.ts';
import { settingsIn } from '../core/relay/settings/setting-names.ts';
import { withoutLiterals, withoutTokens } from '../core/sql/sql-text.ts';
import { FunctionCatalog } from '../core/upstream/function-catalog.ts';
import { readBody } from '../core/upstream/function-body.ts';
import { parseBearerRequest } from '../core/wire/oauthbearer.ts';
import { parseOptions, splitOptions } from '../core/wire/options.ts';
import { parseClientFinal, parseClientFirst } from '../core/wire/scram-responses.ts';
import { parseScramVerifier } from '../core/wire/scram-verifier.ts';
import { shown } from '../core/wire/text.ts';
import { askedByJson } from '../plugins/access/request-body.ts';
import { credentialOf } from '../plugins/access/callers.ts';
import { unseal } from '../plugins/audit/chain.ts';
import { json } from '../plugins/audit/json.ts';
import { parseBounded } from '../plugins/jwt/bounded-json.ts';
import { parseCompact } from '../plugins/jwt/compact.ts';
import { parseUserlist } from '../plugins/passwords/userlist.ts';
import { summaryOf } from '../plugins/tracing/query-summary.ts';
import { parentInComment, parseTraceparent } from '../plugins/tracing/traceparent.ts';
import { describe, grewTooMuch, slowest } from './support/slowest.ts';
import { plainInputs } from './support/worst-inputs.ts';

type Read = (text: string) => unknown;

/** A function, how what it reads begins, and what may stand at its end. */
interface Reader {
  readonly read: Read;
  readonly begins: readonly string[];
  readonly ends?: readonly string[];
  /** Longest text that it is ever given, in characters. Default: a statement's, which has no limit but a message's. */
  readonly most?: number;
}

const bytes =
  (read: (frame: Buffer) => unknown): Read =>
  (text) =>
    read(Buffer.from(`${text}\0`));

/** A function that leaves state, by its name. */
const CATALOG = FunctionCatalog.of([['1', 'take', null, null, 'a']]);
const STARTUP_PACKET = 10_000;
const SASL_MESSAGE = 1_024;
const TOKEN = 65_536;
const REQUEST = 65_536;

const READERS: Readonly<Record<string, Reader>> = {
  parseClientFirst: {
    read: (text) => parseClientFirst(Buffer.from(text), { plus: false, plusOffered: false }),
    begins: ['', 'n,,n=,r=', 'n,,n=,r=a,x=', 'n,,n='],
    most: SASL_MESSAGE,
  },
  parseClientFinal: {
    read: (text) => parseClientFinal(Buffer.from(text), 'biws', false),
    begins: ['', 'c=biws,r=', 'c=biws,r=a,x=', 'c=biws,r=a,p='],
    most: SASL_MESSAGE,
  },
  parseScramVerifier: {
    read: parseScramVerifier,
    begins: ['', 'SCRAM-SHA-256$4096:', 'SCRAM-SHA-256$4096:AAAA$'],
    ends: ['', '=', '$'],
  },
  parseUserlist: {
    read: parseUserlist,
    begins: ['', '"', '"a" "', '"a" "b" ', ';', '"a" "b"\n'.repeat(20)],
    ends: ['', '"', '\n'],
  },
  looksInBand: { read: bytes((frame) => looksInBand(frame, 0)), begins: ['', 'set ', 'set postern'] },
  parseInBand: {
    read: parseInBand,
    begins: ['', 'set', "set postern.token = 'x'", "set local postern.token to '", 'set "postern"'],
    ends: ['', 'z', "'", "';z"],
  },
  parseCommands: {
    read: parseCommands,
    begins: ['', 'show', 'show pools', 'set x', 'set x = 1', 'kill "'],
    ends: ['', 'z', ';z', '"'],
  },
  pinReason: { read: pinReason, begins: ['', 'create ', 'create or replace ', 'pg_try_'] },
  settingsIn: {
    read: settingsIn,
    begins: ['', 'set a.', 'set local', "set_config('a', ".repeat(20), 'set_config("', '--', ';do'],
    ends: ['', ';z', '", true)'],
  },
  readBody: {
    read: readBody,
    begins: [
      '',
      'update a set ',
      'set_config(',
      'set_config(?, ?, true) '.repeat(20),
      'update '.repeat(20),
      'do ',
    ],
    ends: ['', ' set', ', true)', ')'],
  },
  leaves: {
    read: (text) => CATALOG.leaves(text),
    begins: ['', 'select take(', 'take_'.repeat(20)],
  },
  mayDiscard: { read: mayDiscard, begins: [''] },
  descriptionOf: {
    read: bytes((frame) => descriptionOf(Buffer.alloc(2), frame)),
    begins: ['', '\0\x01', '\x7f\x7f'],
  },
  statementOf: {
    read: bytes((frame) => statementOf(originOf(frame, new Map(), null), 0, true)),
    begins: [''],
  },
  deallocated: {
    read: deallocated,
    begins: ['deallocate ', 'deallocate prepare', 'deallocate all'],
  },
  withoutTokens: { read: withoutTokens, begins: ['', 'eyJ', 'eyJaaaaaaaa.eyJaaaaaaaa'] },
  withoutLiterals: {
    read: withoutLiterals,
    begins: ['', "'", "e'", '"', '/*', '$a$', 'u&"'],
    ends: ['', "'", '*/', '"'],
  },
  summaryOf: {
    read: summaryOf,
    begins: ['', 'select * from "', 'select * from a', 'create table "', 'with a as ('],
    ends: ['', '"', '.b', ')'],
  },
  parentInComment: {
    read: parentInComment,
    begins: ["/*traceparent='", '/*', "select 1 /*traceparent='"],
    ends: ['', '*/', "'*/"],
  },
  parseTraceparent: { read: parseTraceparent, begins: ['', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-`] },
  shown: { read: shown, begins: [''] },
  splitOptions: { read: splitOptions, begins: ['', '-c a='], most: STARTUP_PACKET },
  parseOptions: { read: parseOptions, begins: ['', '-c a=', '--a='], most: STARTUP_PACKET },
  parseBearerRequest: {
    read: (text) => parseBearerRequest(Buffer.from(text)),
    begins: ['', 'n,,\x01', 'n,,\x01auth=', 'n,,\x01auth=Bearer ', 'n,,\x01auth=Bearer a'],
    ends: ['', '\x01\x01'],
    most: TOKEN,
  },
  parseAddress: { read: parseAddress, begins: ['', '::', 'fe80::1%', '1.'], most: REQUEST },
  parseNetwork: { read: parseNetwork, begins: ['', '::/', '10.0.0.0/'], most: REQUEST },
  parseLine: { read: bytes(parseLine), begins: ['PROXY ', 'PROXY UNKNOWN ', 'PROXY TCP4 '], most: 107 },
  parseCompact: {
    read: parseCompact,
    begins: ['', 'eyJhIjoxfQ.', 'eyJhIjoxfQ.e30.'],
    ends: ['', '.', '.a'],
    most: TOKEN,
  },
  parseBounded: {
    read: bytes((frame) => parseBounded(frame.subarray(0, -1), 20)),
    begins: ['', '{"a":"', '[', '{"a":['],
    ends: ['', '"}', ']', ']}'],
    most: TOKEN,
  },
  askedByJson: { read: askedByJson, begins: ['', '{"database":"'], ends: ['', '"}'], most: REQUEST },
  credentialOf: {
    read: (text) => credentialOf(new Request('http://x', { headers: { authorization: text } })),
    begins: ['Bearer ', ''],
    most: REQUEST,
  },
  unseal: {
    read: unseal,
    begins: ['', '{"audit":1,"n":1,"time":"', '{"audit":1,"n":1,"time":"x","a":"'],
    ends: ['', `","hash":"${'a'.repeat(64)}"}`],
  },
  json: { read: json, begins: [''] },
};

test.each(Object.entries(READERS))(
  '%s takes time in proportion to what it reads',
  { timeout: 600_000 },
  (name, { read, begins, ends = ['', 'z'], most }) => {
    const run = (text: string): unknown => {
      try {
        return read(text);
      } catch (error) {
        return error;
      }
    };
    let tried = slowest(run, plainInputs(begins, ends), most);
    // A busy machine disturbs one measurement; what is not in proportion grows in each.
    for (let again = 0; again < 2 && grewTooMuch(tried); again += 1)
      tried = slowest(run, plainInputs(begins, ends), most);
    if (process.env['POSTERN_FIGURES'] === '1') console.log(`${name}: ${describe(tried)}`);
    expect(grewTooMuch(tried), describe(tried)).toBe(false);
  },
);
