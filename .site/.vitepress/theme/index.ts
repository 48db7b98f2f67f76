/** VitePress's own theme; diagrams are drawn in the browser, without a network. */
import DefaultTheme from 'vitepress/theme';
import { nextTick, onMounted, watch } from 'vue';
import { useRoute } from 'vitepress';

declare const mermaid: { initialize(options: object): void; run(options: object): Promise<void> } | undefined;

async function draw(): Promise<void> {
  await nextTick();
  if (typeof mermaid === 'undefined') return;
  mermaid.initialize({ startOnLoad: false, theme: 'neutral' });
  await mermaid.run({ querySelector: 'pre.mermaid:not([data-processed])' });
}

export default {
  extends: DefaultTheme,
  setup(): void {
    const route = useRoute();
    onMounted(draw);
    watch(() => route.path, draw);
  },
};
