/** The config of the demo, which `npm start` runs. The folders beside it in `examples/` have configs for other needs. */
export { default } from './examples/demo/gateway.config.ts';
