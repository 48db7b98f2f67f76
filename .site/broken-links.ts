/** Links between the pages of a built site that lead to no page, or to no heading of one. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

function attributes(html: string, name: 'href' | 'id'): readonly string[] {
  const all = html.matchAll(name === 'href' ? /<a\b[^>]*? href="([^"]*)"/g : / id="([^"]*)"/g);
  return [...all].map(([, value = '']) => value.replaceAll('&amp;', '&'));
}

/** Each as `page: link`. @param base the path that the site has on its server */
export function brokenLinks(folder: string, base: string): readonly string[] {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.html'),
  );
  const pages = new Map(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
  const ids = new Map([...pages].map(([name, html]) => [name, new Set(attributes(html, 'id'))]));
  const leadsNowhere = (page: string, link: string): boolean => {
    const url = new URL(link, `http://site.invalid${base}${page}`);
    if (url.host !== 'site.invalid') return false;
    const path = decodeURI(url.pathname).slice(base.length);
    const target = path === '' || path.endsWith('/') ? `${path}index.html` : path;
    const known = ids.get(target) ?? ids.get(`${target}.html`);
    return known === undefined || (url.hash !== '' && !known.has(decodeURIComponent(url.hash.slice(1))));
  };
  return [...pages].flatMap(([page, html]) =>
    attributes(html, 'href')
      .filter((link) => leadsNowhere(page, link))
      .map((link) => `${page}: ${link}`),
  );
}
