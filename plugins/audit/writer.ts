/** Who writes a trail: a worker of an instance of a fleet. */

/** Whose a trail is, as its lines say; empty and 0 where they do not. */
export interface Writer {
  readonly instance: string;
  readonly worker: number;
}

/** As people read it: an instance may be called anything. */
export function nameOf({ instance, worker }: Writer): string {
  const name = /^[\w.:@-]+$/.test(instance) ? instance : JSON.stringify(instance);
  const parts = [
    ...(instance === '' ? [] : [`instance ${name}`]),
    ...(worker > 0 ? [`worker ${worker}`] : []),
  ];
  return parts.join(', ');
}

/** Whose a line says that it is. */
export const writerOf = (mark: { readonly instance?: unknown; readonly worker?: unknown }): Writer => ({
  instance: typeof mark.instance === 'string' ? mark.instance : '',
  worker: typeof mark.worker === 'number' ? mark.worker : 0,
});
