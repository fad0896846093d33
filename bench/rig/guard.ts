import { spawn } from 'node:child_process';

/**
 * Deletes the namespaces of this prefix should this process end without doing so itself, whatever ended it: a shell
 * waits for the end of a pipe that only this process holds open. A run that was killed leaves nothing behind.
 */
export function guardNamespaces(prefix: string): Disposable {
  const script = `cat > /dev/null
ip netns list | while read -r name rest; do
  case "$name" in ${prefix}*) ip netns delete "$name" ;; esac
done`;
  return guard(script);
}

/** Removes a directory in the same way. What still writes to it gets a while to end. */
export function guardDirectory(path: string): Disposable {
  return guard(`cat > /dev/null; for wait in 0 2 5 10; do sleep "$wait"; rm -rf -- "$1"; done`, path);
}

/** Takes a mounted file system away in the same way. */
export function guardMount(path: string): Disposable {
  return guard('cat > /dev/null; umount --lazy "$1"', path);
}

function guard(script: string, ...args: string[]): Disposable {
  const child = spawn('sh', ['-c', script, 'sh', ...args], {
    // A group of its own: Ctrl-C must not end it.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', (error) => console.error('the guard of the rig could not be started:', error.message));
  child.unref();
  return {
    [Symbol.dispose]() {
      child.kill('SIGKILL');
      child.stdin?.destroy();
    },
  };
}
