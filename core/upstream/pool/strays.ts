/** Connections of a pool, and the servers that they are on. */
import { Hosts } from '../hosts/hosts.ts';
import type { HostsParts } from '../hosts/hosts.ts';
import type { Members } from './members.ts';

/** Whose connections they are. */
export interface HostedParts extends Omit<HostsParts, 'inUse' | 'load'> {
  readonly members: Members;
}

/** The servers of a pool's connections: in use while there is one, or somebody waits for one. */
export function hostsFor({ members, ...parts }: HostedParts): Hosts {
  return new Hosts({
    ...parts,
    inUse: () => members.size > 0 || parts.waiting(),
    load: (place) => members.all().filter((one) => one.place === place && one.state !== 'closing').length,
  });
}

/**
 * Ends connections whose server is not what they are for any more: those that nobody uses, and the others where even their
 * sessions must not go on, which read that the connection is lost. A server that is gone would not take our leave.
 */
export function dropStrays(members: Members, hosts: Pick<Hosts, 'fits' | 'wrong'>): void {
  for (const member of members.all()) {
    const unused = member.state === 'idle' && !hosts.fits(member);
    if (unused || hosts.wrong(member)) member.connection?.channel.destroy();
  }
}
