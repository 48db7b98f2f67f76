/** The document of providers, made of what was tried: configs as they ran, and a table of what each token came to. */
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { optionsOf } from './plugin-options.ts';
import type { PluginOptions } from './plugin-options.ts';
import type { Provider } from './provider.ts';
import type { Outcome, Trial } from './trial.ts';

const HEAD = `# Tokens of real issuers

Made by \`npx vitest run test/plugins/providers.test.ts -u\` of what that test runs: each config below as it stands, in front of a PostgreSQL, with a local
issuer that answers and signs as the provider's documents say, and a client that logs in as \`_\` with each token of the tables. What a refusal says here is in the
operator's log; the client reads less.

Map by what nobody else can get, and by ids rather than by names that may be given away. Where an issuer serves more than you, \`requiredClaims\` says whose
tokens are meant at all. All options: [\`jwt\`](README.md), [\`roles\`](../README.md#the-plugins).
`;

const cell = (text: string): string => text.replaceAll('|', '\\|');
const code = (text: string): string => `\`${text}\``;

function keysIn({ issuer: { jwks, bearerFile } }: PluginOptions): string {
  if (jwks === undefined) return 'discovery';
  return bearerFile === undefined ? code('jwks') : `${code('jwks')}, ${code('bearerFile')}`;
}

/** What a token has to have besides issuer and signature. */
function checksIn({ issuer }: PluginOptions): string {
  const { audienceClaim = 'aud', azp, typ, tenants, requiredClaims = {} } = issuer;
  const more = { azp, 'header `typ`': typ, 'iss, tid': tenants };
  const names = Object.entries(more).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  return [audienceClaim, ...names, ...Object.keys(requiredClaims)]
    .map((name) => (name.includes('`') ? name : name.split(', ').map(code).join(', ')))
    .join(', ');
}

function claimsIn({ roles }: PluginOptions): string {
  const said = roles.map(({ claim, as: shape }) => {
    const from = typeof claim === 'function' ? 'a function' : [claim].flat().map(code).join(', ');
    return shape === undefined ? from : `${from}, as ${code(shape)}`;
  });
  return [...new Set(said)].join('; ');
}

/** As GitHub makes it of a heading. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

function overviewRow(provider: Provider, { granted, refused }: Trial): string {
  const options = optionsOf(provider);
  const cells = [
    `[${provider.name}](#${anchor(provider.name)})`,
    keysIn(options),
    checksIn(options),
    claimsIn(options),
    `${granted.filter(({ role }) => role !== undefined).length}`,
    `${refused.filter(({ role }) => role === undefined).length}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

/** What there would have been instead stands behind a semicolon. */
function outcomeRow({ token, role, reason = '' }: Outcome): string {
  const [why = ''] = reason.split('; ');
  return `| ${cell(token.name)} | ${role === undefined ? `refused: ${cell(why)}` : code(role)} |`;
}

function section({ name, about, config }: Provider, { granted, refused }: Trial): string {
  return `## ${name}

${about}

\`\`\`ts
${config}
\`\`\`

| a token | comes to |
| --- | --- |
${[...granted, ...refused].map(outcomeRow).join('\n')}
`;
}

/** The whole document, formatted as the repository's others. */
export async function providersDocument(
  tried: readonly (readonly [provider: Provider, trial: Trial])[],
): Promise<string> {
  const overview = `| issuer | keys by | looks at | roles from | got its role | refused |
| --- | --- | --- | --- | --- | --- |
${tried.map(([provider, trial]) => overviewRow(provider, trial)).join('\n')}
`;
  const text = [HEAD, overview, ...tried.map(([provider, trial]) => section(provider, trial))].join('\n');
  const settings = await resolveConfig(fileURLToPath(import.meta.url));
  return format(text, { ...settings, parser: 'markdown' });
}
