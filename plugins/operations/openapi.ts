/** The OpenAPI document of the routes on `admin`, made of what each of them says of itself. */
import type { GatewayHandle, RouteOperation } from '../../core/index.ts';
import type { Mounted } from './mounted.ts';

const ERROR = { $ref: '#/components/schemas/Error' };

const COMPONENTS = {
  schemas: {
    Error: {
      type: 'object',
      required: ['error'],
      properties: { error: { type: 'string', description: 'One sentence, for people.' } },
    },
  },
  securitySchemes: {
    operator: {
      type: 'http',
      scheme: 'bearer',
      description: 'A token of an operator, as `admin.operators` says.',
    },
    caller: { type: 'http', scheme: 'bearer', description: 'A token, or an API key, that the route takes.' },
  },
};

const failed = (description: string): object => ({
  description,
  content: { 'application/json': { schema: ERROR } },
});

/** `/v1/sessions/:id` as OpenAPI writes it (§4.8.8.2). */
const templated = (path: string): string => path.replace(/:(\w+)/g, '{$1}');

const inPath = (path: string): readonly object[] =>
  [...path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));

function operationOf(path: string, { security, ...said }: RouteOperation, isPublic: boolean): object {
  const needed = security ?? (isPublic ? undefined : 'operator');
  const parameters = [...inPath(path), ...(said.parameters ?? [])];
  return {
    ...said,
    ...(parameters.length > 0 && { parameters }),
    security: needed === undefined ? [] : [{ [needed]: [] }],
    responses: {
      ...(needed !== undefined && { 401: failed('No good token.') }),
      ...(needed === 'operator' && { 403: failed('A good token, and not that of an operator.') }),
      ...said.responses,
      default: failed('What went wrong.'),
    },
  };
}

/** The document, OpenAPI 3.1. Routes that say nothing of themselves are not in it. */
function openApiDocument(gateway: GatewayHandle): object {
  const paths = [...gateway.routes()].flatMap(([path, { openapi, public: isPublic = false }]) => {
    const operations = Object.entries(openapi ?? {}).map(([method, said]) => [
      method,
      operationOf(path, said, isPublic),
    ]);
    return operations.length === 0 ? [] : [[templated(path), Object.fromEntries(operations)]];
  });
  return {
    openapi: '3.1.1',
    info: {
      title: 'Postern',
      version: gateway.service('overview').version,
      description: 'What a gateway answers on `admin`.',
    },
    paths: Object.fromEntries(paths) as object,
    components: COMPONENTS,
  };
}

/** `/openapi.json`, for whoever asks. */
export function openApiRoute(gateway: GatewayHandle): Mounted {
  const answer = { description: 'OpenAPI 3.1', content: { 'application/json': { schema: true } } };
  return {
    path: '/openapi.json',
    handler: () => Response.json(openApiDocument(gateway)),
    how: { public: true, openapi: { get: { summary: 'This document', responses: { 200: answer } } } },
  };
}
