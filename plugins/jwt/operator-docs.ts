/** What the OpenAPI document says of the routes for revocations and keys. */
import type { RouteOptions } from '../../core/index.ts';

type Docs = NonNullable<RouteOptions['openapi']>;

const text = { type: 'string', minLength: 1, maxLength: 512 } as const;
const time = { type: 'string', format: 'date-time' } as const;
const milliseconds = { type: 'integer', description: 'Milliseconds since the epoch.' } as const;
const object = (properties: object, required: readonly string[]): object => ({
  type: 'object',
  properties,
  required,
});
const json = (description: string, schema: object): { description: string; content: object } => ({
  description,
  content: { 'application/json': { schema } },
});
const body = (schema: object): object => ({ required: true, content: { 'application/json': { schema } } });

const wait = {
  name: 'wait',
  in: 'query',
  required: false,
  description: 'Has the answer wait, 3 s at most, until every live instance of the fleet has done it.',
  schema: { type: 'string', enum: ['fleet'] },
} as const;
/** With `wait=fleet`. */
const fleet = {
  type: 'object',
  properties: {
    live: { type: 'integer', description: 'How many instances live, this one included.' },
    missing: {
      type: 'array',
      items: { type: 'string' },
      description: 'The names of those that have not said in time that all of their workers have it.',
    },
  },
  required: ['live', 'missing'],
};

const target = {
  anyOf: [
    object({ tokenId: text, issuer: text }, ['tokenId']),
    object({ issuer: text, subject: text }, ['issuer', 'subject']),
    object({ issuer: text, before: time }, ['issuer', 'before']),
  ],
};
const members = { id: text, what: target, at: milliseconds, until: milliseconds };
const names = Object.keys(members);
const revoked = object({ ...members, sessions: { type: 'integer' }, fleet }, [...names, 'sessions']);
const purged = object({ issuer: text, fleet }, ['issuer']);

/** `/v1/revocations`. */
export const REVOCATIONS: Docs = {
  get: {
    summary: 'Revocations in force',
    responses: {
      200: json(
        'Until every token they are about has expired.',
        object({ revocations: { type: 'array', items: object(members, names) } }, ['revocations']),
      ),
    },
  },
  post: {
    summary: 'Takes tokens back; their sessions end',
    parameters: [wait],
    requestBody: body(target),
    responses: {
      201: json('In force; with `wait=fleet` at every live instance of the fleet.', revoked),
      202: json('In force, but not proven to be at every live instance of the fleet.', revoked),
      400: { description: 'It names no token, or is to wait for a fleet that there is not.' },
      503: { description: 'In force, but not kept for the next start.' },
      507: { description: 'There are too many.' },
    },
  },
  delete: {
    summary: 'Takes a revocation back',
    parameters: [{ name: 'id', in: 'query', required: true, schema: text }],
    responses: { 204: { description: 'Gone.' }, 404: { description: 'There is none with this id.' } },
  },
};

/** `/v1/keys/purge`. */
export const PURGE: Docs = {
  post: {
    summary: 'Drops the keys of an issuer, and asks for new ones',
    parameters: [wait],
    requestBody: body(object({ issuer: text }, ['issuer'])),
    responses: {
      200: json(
        'There are new ones; with `wait=fleet` every live instance has dropped those before.',
        purged,
      ),
      202: json(
        'There are new ones, but not every live instance has said that it has dropped those before.',
        purged,
      ),
      400: { description: 'It is to wait for a fleet that there is not.' },
      404: { description: 'The issuer is not a configured one.' },
      503: { description: 'Dropped, but there are no new ones yet.' },
    },
  },
};
