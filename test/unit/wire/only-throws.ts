/** Whether the action works, or throws that kind of error; another error is thrown on. */
export function onlyThrows(kind: new (...args: never[]) => Error, action: () => unknown): boolean {
  try {
    action();
  } catch (error) {
    if (!(error instanceof kind)) throw error;
  }
  return true;
}
