/** The connections of a pool and their servers. */
import { Hosts } from '../hosts/hosts.ts';
import type { HostsParts } from '../hosts/hosts.ts';
import type { Members } from './members.ts';

/** The connections, and the options of their servers. */
export interface HostedParts extends Omit<HostsParts, 'inUse' | 'load'> {
  readonly members: Members;
}

/** The servers of a pool's connections: in use while there is one, or a request waits for one. */
export function hostsFor({ members, ...parts }: HostedParts): Hosts {
  return new Hosts({
    ...parts,
    inUse: () => members.size > 0 || parts.waiting(),
    load: (place) => members.all().filter((one) => one.place === place && one.state !== 'closing').length,
  });
}

/**
 * Closes connections whose server does not suit any more: idle ones, and those in use where even their sessions must not go
 * on, which then read that the connection is lost. Without a Terminate, as the server may be down.
 */
export function dropStrays(members: Members, hosts: Pick<Hosts, 'fits' | 'wrong'>): void {
  for (const member of members.all()) {
    const unused = member.state === 'idle' && !hosts.fits(member);
    if (unused || hosts.wrong(member)) member.connection?.channel.destroy();
  }
}
