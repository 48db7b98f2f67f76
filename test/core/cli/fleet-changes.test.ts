/** What the log tells of the store of a fleet: a line for each change, and none for each login. */
import { expect, test } from 'vitest';
import { tellChanges } from '../../../core/cli/fleet.ts';
import type { FleetMember } from '../../../core/workers/fleet-member.ts';
import { fleetOf } from '../../plugins/fleet.ts';

type State = Partial<FleetMember['state']>;

const AWAY = 'the store of the fleet has not answered in time: limits go by fleet.away';
const BACK = 'limits count all instances of the fleet';

test('limits that go by fleet.away for a moment are two lines of the log', async () => {
  const { state } = await fleetOf().join('a');
  const lines: unknown[] = [];
  const tell = (fields: object, text: string): void => void lines.push([text, fields]);
  let change: (now: State) => void = () => {};
  const watch: FleetMember['watch'] = (changed) => {
    const before = change;
    change = (now) => {
      before(now);
      changed({ ...state, limitsAwaySince: undefined, ...now });
    };
    return () => {};
  };
  tellChanges({ watch }, { info: tell, warn: tell });
  change({ limitsAwaySince: 1, limitsAwayTimes: 0 });
  change({ limitsAwayTimes: 0 });
  expect(lines).toEqual([]);
  change({ limitsAwaySince: 5, limitsAwayTimes: 1 });
  change({ limitsAwaySince: 5, limitsAwayTimes: 1 });
  expect(lines).toEqual([[AWAY, { fleet: 'test', limits: 'local', times: 1 }]]);
  change({ limitsAwayTimes: 1 });
  change({ limitsAwayTimes: 1 });
  expect(lines.slice(1)).toEqual([[BACK, { fleet: 'test' }]]);
});
