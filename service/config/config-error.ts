/** A configuration that stops the start. The message names the knob, the value and what is allowed. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

const SHOWN_CHARACTERS = 120;

/** A value as a message shows it, cut to a readable length. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
