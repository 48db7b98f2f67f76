import { expect, test } from 'vitest';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import type { Backend } from '../../../core/contract/session.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { applyAgain } from '../../../core/upstream/settings.ts';
import { causes, poolOf, query, refusal, request, withConnection } from './support.ts';

const { host, port, passwords } = sharedPostgres();
const entry: DatabaseOptions = { host, port, login: { kind: 'password', passwords } };

test('settings are in force for the session, those of a later plugin win, and each sees the backend', async () => {
  const seen: Backend[] = [];
  const onCheckout = [
    (backend: Backend) => (seen.push(backend), { 'app.one': '1', 'app.two': 'first' }),
    () => ({ 'app.two': `it's "quoted" \\ $1 ü` }),
  ];
  await withConnection(entry, { onCheckout }, async (connection) => {
    await query(connection, 'begin; rollback');
    const rows = await query(connection, `select current_setting('app.one'), current_setting('app.two')`);
    expect(rows).toEqual([['1', `it's "quoted" \\ $1 ü`]]);
    expect(seen).toEqual([{ pid: connection.pid, host, role: 'reader' }]);
  });
});

test('values do not depend on the client_encoding that the client chose', async () => {
  const onCheckout = [() => ({ 'app.name': 'Jürgen' })];
  const wanted = { onCheckout, parameters: { client_encoding: 'LATIN1' } };
  const rows = await withConnection(entry, wanted, (connection) =>
    query(
      connection,
      `select current_setting('app.name') = 'J' || chr(252) || 'rgen', current_setting('client_encoding')`,
    ),
  );
  expect(rows).toEqual([['t', 'LATIN1']]);
});

test('ParameterStatus values that a setting changes are kept', async () => {
  const onCheckout = [() => ({ application_name: 'signed' })];
  await withConnection(entry, { onCheckout }, async ({ parameters }) => {
    expect(parameters.get('application_name')).toBe('signed');
  });
});

test('a setting that the server refuses refuses the session, and no value gets into the log', async () => {
  const onCheckout = [() => ({ 'app.claims': 'fine' }), () => ({ work_mem: 'private words' })];
  const error = await refusal(entry, { onCheckout });
  expect(error).toMatchObject({ sqlstate: 'XX000', message: 'the session could not be prepared' });
  expect(causes(error)).toContain('setting app.claims, work_mem failed: 22023');
  expect(causes(error)).not.toContain('private');
});

test('a setting that only a superuser may change refuses the session', async () => {
  const error = await refusal(entry, { onCheckout: [() => ({ session_replication_role: 'replica' })] });
  expect(causes(error)).toContain('42501');
});

test.each(['role', 'Session_Authorization'])('%s is not a setting', async (name) => {
  await expect(refusal(entry, { onCheckout: [() => ({ [name]: 'writer' })] })).rejects.toThrow(
    'cannot be set',
  );
});

test('what onCheckout throws ends the acquire as it is, and its connection serves the next one', async () => {
  const boom = new Error('no key to sign with');
  const pool = poolOf(entry);
  const acquiring = pool.acquire(
    request({
      onCheckout: [
        () => {
          throw boom;
        },
      ],
    }),
  );
  await expect(acquiring).rejects.toBe(boom);
  expect(pool).toMatchObject({ size: 1, lent: 0, idle: 1 });
  await pool.close();
});

/** What a policy wants at each of its check-outs, one after the other. */
const inTurn = (...wants: Record<string, string>[]): (() => Record<string, string>) => {
  let turn = 0;
  return () => wants[turn++] ?? {};
};
const SHOWN = `select current_setting('app.gone', true), current_setting('app.stays', true),
  current_setting('statement_timeout')`;

test('what policies want no longer of the same session is taken back: to what the client chose, or the server has', async () => {
  const wants = inTurn(
    { 'App.Gone': 'first', 'app.stays': '1', statement_timeout: '1min', client_encoding: 'LATIN1' },
    { 'app.stays': '2' },
    { 'app.stays': '3' },
  );
  const pool = poolOf({ ...entry, pool: { size: 1 } });
  const wanted = { holder: {}, onCheckout: [wants], parameters: { statement_timeout: '7s' } };
  const seen = [];
  for (let turn = 0; turn < 3; turn += 1) {
    const connection = await pool.acquire(request(wanted));
    seen.push([...(await query(connection, SHOWN)).flat(), connection.parameters.get('client_encoding')]);
    await pool.release(connection, 'clean');
  }
  expect(seen).toEqual([
    ['first', '1', '1min', 'LATIN1'],
    ['', '2', '7s', 'UTF8'],
    ['', '3', '7s', 'UTF8'],
  ]);
  await pool.close();
});

test('what policies want no longer is taken back between the statements of a session as well', async () => {
  const wants = inTurn({ 'app.gone': 'first', 'app.stays': '1' }, { 'app.stays': '2' }, {});
  await withConnection(entry, { onCheckout: [wants] }, async (connection) => {
    const again = request({ onCheckout: [wants] });
    await applyAgain(connection, again, false);
    expect((await query(connection, SHOWN)).flat().slice(0, 2)).toEqual(['', '2']);
    await applyAgain(connection, again, false);
    expect((await query(connection, SHOWN)).flat().slice(0, 2)).toEqual(['', '']);
  });
});

test('a time-out of the session that hits what policies set again is told as one, and is no mistake of the gateway', async () => {
  await withConnection(entry, {}, async (connection) => {
    await query(
      connection,
      `create function pg_temp.slow(text) returns text language sql as 'select pg_sleep(60)::text'`,
    );
    await query(connection, `set statement_timeout = '50ms'`);
    const slow = { function: 'pg_temp.slow', arguments: [''] } as const;
    const again = request({ onCheckout: [() => ({ 'app.slow': slow })] });
    await expect(applyAgain(connection, again, false)).rejects.toMatchObject({
      sqlstate: '57014',
      message: 'canceling statement due to statement timeout',
    });
  });
});
