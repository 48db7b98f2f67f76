/** Server names (SNI) by which a listener tells clients apart. */

/** What is kept for a name, its own or that of its parent with `*` for the first label. Keys are in lower case. */
export function findByServername<T>(known: ReadonlyMap<string, T>, name: string): T | undefined {
  const wanted = name.toLowerCase();
  const dot = wanted.indexOf('.');
  return known.get(wanted) ?? (dot > 0 ? known.get(`*${wanted.slice(dot)}`) : undefined);
}
