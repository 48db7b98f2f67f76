/** What the OpenAPI document says of the routes of this plugin. */
import type { RouteOptions } from '../../core/index.ts';

type Docs = NonNullable<RouteOptions['openapi']>;

const text = { type: 'string', minLength: 1, maxLength: 500 } as const;
const plain = { type: 'string' } as const;
const time = { type: 'string', format: 'date-time' } as const;
const duration = { ...text, examples: ['15m'] } as const;
const object = (properties: object, required: readonly string[]): object => ({
  type: 'object',
  properties,
  required,
});
const json = (description: string, schema: object): { description: string; content: object } => ({
  description,
  content: { 'application/json': { schema } },
});
const says = (description: string): { description: string } => ({ description });

const asked = {
  ...object({ database: text, role: text, duration, reason: text }, ['database']),
  additionalProperties: false,
};

const common = { id: plain, database: plain, role: plain, reason: plain, issuedAt: time, expiresAt: time };
const always = ['id', 'database', 'role', 'issuedAt', 'expiresAt'];
const caller = object({ issuer: plain, subject: plain }, ['issuer', 'subject']);
const sessions = { type: 'integer', minimum: 0, description: 'Open now.' } as const;
const view = { ...common, caller, revokedAt: time, sessions };
const grant = object(view, [...always, 'caller', 'sessions']);
const granted = object(
  {
    ...common,
    rules: { type: 'object', description: 'Those in the token, its databases among them.' },
    token: { ...plain, description: 'The password: a signed token (JWT).' },
    uri: { ...plain, description: 'A connection URI of libpq, without the password.' },
    psql: { ...plain, description: 'A line for a shell that has the token in $TOKEN.' },
  },
  [...always, 'rules', 'token', 'uri', 'psql'],
);

const idempotencyKey = {
  name: 'Idempotency-Key',
  in: 'header',
  schema: { type: 'string', minLength: 1, maxLength: 255 },
  description: 'The same request under the same key has the same answer, until the token expires.',
};

/** `/v1/grants`. */
export const ASK_DOCS: Docs = {
  get: {
    summary: 'Grants that have not expired: own ones, or for operators all',
    security: 'caller',
    responses: {
      200: json('The newest first.', object({ grants: { type: 'array', items: grant } }, ['grants'])),
    },
  },
  post: {
    summary: 'Asks for access to a database as a role for a time',
    security: 'caller',
    parameters: [idempotencyKey],
    requestBody: { required: true, content: { 'application/json': { schema: asked } } },
    responses: {
      201: json('Granted.', granted),
      400: says('The request is not understood.'),
      403: says('It is outside of the policy; the sentence says how.'),
      409: says('The request with this Idempotency-Key is under way.'),
      410: says('What was granted under this Idempotency-Key has been revoked.'),
      413: says('The body is too long.'),
      422: says('The Idempotency-Key was used for another request.'),
      429: says('Asked too often; Retry-After says when to try again.'),
      503: says('Callers cannot be verified at the moment.'),
    },
  },
};

/** `/v1/grants/:id`. */
export const GRANT_DOCS: Docs = {
  get: {
    summary: 'One grant',
    security: 'caller',
    responses: { 200: json('As it is.', grant), 404: says('There is none of yours with this id.') },
  },
  delete: {
    summary: 'Revokes a grant: its token opens nothing any more, its sessions end',
    security: 'caller',
    responses: {
      200: json(
        'Revoked.',
        object({ ...view, ended: { ...sessions, description: 'Sessions that were told to end.' } }, [
          ...always,
          'ended',
        ]),
      ),
      404: says('There is none of yours with this id.'),
      503: says('Revoked, but that is not kept for the next start.'),
    },
  },
};

const tokenType = 'urn:ietf:params:oauth:token-type:jwt';
const form = object(
  {
    grant_type: { const: 'urn:ietf:params:oauth:grant-type:token-exchange' },
    subject_token: plain,
    subject_token_type: {
      enum: [
        tokenType,
        'urn:ietf:params:oauth:token-type:access_token',
        'urn:ietf:params:oauth:token-type:id_token',
      ],
    },
    requested_token_type: { const: tokenType },
    audience: { ...text, description: 'The database.' },
    scope: { ...text, description: 'The role.' },
    duration,
    reason: text,
  },
  ['grant_type', 'subject_token', 'subject_token_type', 'audience'],
);
const oauthError = object({ error: plain, error_description: plain }, ['error']);

/** `/oauth/token`. */
export const EXCHANGE_DOCS: Docs = {
  post: {
    summary: 'OAuth 2.0 Token Exchange (RFC 8693)',
    requestBody: { required: true, content: { 'application/x-www-form-urlencoded': { schema: form } } },
    responses: {
      200: json(
        'Granted.',
        object(
          {
            access_token: plain,
            issued_token_type: { const: tokenType },
            token_type: { const: 'N_A' },
            expires_in: { type: 'integer' },
            scope: { ...plain, description: 'The role.' },
          },
          ['access_token', 'issued_token_type', 'token_type', 'expires_in', 'scope'],
        ),
      ),
      400: json('invalid_request, invalid_target or unsupported_grant_type.', oauthError),
      429: json('Asked too often; Retry-After says when to try again.', oauthError),
      503: json('Callers cannot be verified at the moment.', oauthError),
    },
  },
};

/** `/.well-known/jwks.json`. */
export const JWKS_DOCS: Docs = {
  get: {
    summary: 'The public keys of the own issuer (RFC 7517)',
    responses: {
      200: {
        description: 'Those that sign, have signed what is still good, or will sign next.',
        content: {
          'application/jwk-set+json': {
            schema: object({ keys: { type: 'array', items: { type: 'object' } } }, ['keys']),
          },
        },
      },
    },
  },
};
