/** The certificates that the gateway logs in with: one per role, made when first needed and anew at half its lifetime. */
import { fileVersion } from '../../options/file-version.ts';
import { loadAuthority } from './authority.ts';
import type { Authority, AuthorityFiles } from './authority.ts';
import type { ClientCertificate } from './mint.ts';

/** How far a server's clock may be behind the gateway's before it finds a new certificate not yet valid, in milliseconds. */
const BACKDATED_MS = 300_000;

interface Kept {
  readonly certificate: Promise<ClientCertificate>;
  /** Milliseconds since the epoch. */
  readonly freshUntil: number;
}

/** One authority's certificates. They live in this process's memory and nowhere else. */
export class RoleCertificates {
  readonly #files: AuthorityFiles;
  readonly #lifetimeMs: number;
  readonly #byRole = new Map<string, Kept>();
  #authority: Authority | undefined;
  #version = '';

  constructor(files: AuthorityFiles, lifetimeMs: number) {
    this.#files = files;
    this.#lifetimeMs = lifetimeMs;
  }

  /**
   * A certificate that is good for half its lifetime at least; requests while it is made get the same one. Files that
   * changed are read again, and leave the authority as it is where they cannot be used.
   * @throws AuthorityError if there is no usable authority
   */
  async for(role: string): Promise<ClientCertificate> {
    const authority = await this.#current();
    const now = Date.now();
    const kept = this.#byRole.get(role);
    if (kept && now < kept.freshUntil) return kept.certificate;
    this.#forgetStale(now);
    const until = Math.min(now + this.#lifetimeMs, authority.until);
    const certificate = make(authority, role, { from: now - BACKDATED_MS, until });
    this.#byRole.set(role, { certificate, freshUntil: now + (until - now) / 2 });
    certificate.catch(() => this.#byRole.delete(role));
    return certificate;
  }

  async #current(): Promise<Authority> {
    const version = await versionOf(this.#files);
    const usable = this.#authority && this.#authority.until > Date.now() ? this.#authority : undefined;
    if (usable && version === this.#version) return usable;
    try {
      return this.#adopt(loadAuthority(this.#files), version);
    } catch (error) {
      // Two files never change in one moment: until both fit, the earlier pair is used.
      if (usable) return usable;
      throw error;
    }
  }

  #adopt(authority: Authority, version: string): Authority {
    // The server may trust only the new one by now.
    this.#byRole.clear();
    this.#authority = authority;
    this.#version = version;
    return authority;
  }

  #forgetStale(now: number): void {
    for (const [role, { freshUntil }] of this.#byRole) if (freshUntil <= now) this.#byRole.delete(role);
  }
}

/** The library takes a fifth of a second to load: only where such a login is configured. */
async function make(
  authority: Authority,
  role: string,
  validity: { readonly from: number; readonly until: number },
): Promise<ClientCertificate> {
  const { mint } = await import('./mint.ts');
  return mint(authority, role, validity);
}

async function versionOf({ ca, key }: AuthorityFiles): Promise<string> {
  return (await Promise.all([ca, key].map(fileVersion))).join(' ');
}
