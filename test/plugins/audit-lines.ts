/** Audit lines as a test reads them: parsed, and each of them as the documented schema says. */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { onTestFinished } from 'vitest';

/** One line. */
export type AuditLine = Readonly<Record<string, unknown>>;

const schema = JSON.parse(
  readFileSync(new URL('../../plugins/audit/event.schema.json', import.meta.url), 'utf8'),
) as object;
const ajv = new Ajv2020({
  allErrors: true,
  strict: true,
  strictRequired: false,
  strictTypes: false,
  allowUnionTypes: true,
});
ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const validate = ajv.compile(schema);

/** What the schema has against a line; empty if nothing. */
export function objections(line: unknown): string {
  return validate(line) ? '' : `${ajv.errorsText(validate.errors)} in ${JSON.stringify(line)}`;
}

/** All lines of a text. @throws Error for one that is not as the schema says */
export function parseLines(text: string): AuditLine[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('{"audit":'))
    .map((line) => {
      const parsed = JSON.parse(line) as AuditLine;
      const wrong = objections(parsed);
      if (wrong !== '') throw new Error(wrong);
      return parsed;
    });
}

/** Lines of a file, each as the schema says; none where there is no file. */
export const linesIn = (file: string): AuditLine[] => parseLines(readFileSync(file, 'utf8'));

/** A folder that goes when the test ends. */
export async function auditFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'postern-audit-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}
