/** The site: its pages are written by ../pages.ts from the Markdown files of the repository. */
import { defineConfig } from 'vitepress';
import { slug } from '../../test/support/markdown.ts';
import { documentOf, pageOf, sidebar } from '../pages.ts';

export default defineConfig({
  title: 'Postern',
  description: 'An open gateway in front of PostgreSQL: the password is a token, every policy is a plugin.',
  base: process.env['SITE_BASE'] ?? '/',
  srcDir: 'dist-pages',
  outDir: 'dist',
  cacheDir: 'node_modules/.vitepress',
  head: [['script', { src: `${process.env['SITE_BASE'] ?? '/'}mermaid.tiny.js`, defer: '' }]],
  themeConfig: {
    // Half of the build's time goes into the index, which a check of links does without.
    ...(process.env['SITE_SEARCH'] !== 'no' && { search: { provider: 'local' } as const }),
    outline: [2, 3],
    sidebar: sidebar() as never,
    nav: [
      { text: 'Guides', link: '/examples/' },
      { text: 'Reference', link: '/plugins/' },
      { text: 'Security', link: '/SECURITY' },
    ],
  },
  markdown: {
    // Texts are those of GitHub: no HTML, and headings are named as there.
    html: false,
    anchor: { slugify: slug },
    config(md) {
      md.core.ruler.push('links-between-documents', ({ tokens, env }) => {
        const from = documentOf((env as { relativePath: string }).relativePath);
        for (const token of tokens.flatMap(({ children }) => children ?? [])) {
          const href = token.type === 'link_open' ? token.attrGet('href') : null;
          if (href && !/^([a-z]+:|#)/.test(href)) token.attrSet('href', pageOf(from, decodeURI(href)));
        }
      });
      const fence = md.renderer.rules.fence;
      md.renderer.rules.fence = (...args) => {
        const [tokens, index] = args;
        const token = tokens[index];
        if (token?.info.trim() !== 'mermaid') return fence?.(...args) ?? '';
        return `<pre class="mermaid" v-pre>${md.utils.escapeHtml(token.content)}</pre>`;
      };
    },
  },
});
