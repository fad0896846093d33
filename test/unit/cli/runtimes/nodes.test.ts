import { parse } from 'smol-toml';
import { expect, test } from 'vitest';

import { configure } from '#cli/runtimes/configure.ts';
import { NODE_KINDS } from '#cli/runtimes/nodes.ts';

import { temporaryDirectory } from '../../../support/temporary-directory.ts';
import { readTree, writeTree } from './files.ts';

const AGENT = new URL('http://127.0.0.1:29500');
const kinds = Object.entries(NODE_KINDS);
const containerds = kinds.flatMap(([name, kind]) =>
  kind.main === undefined ? [] : [[name, kind.main] as const],
);

test.each(containerds)('on %s, hosts.toml goes where containerd looks, and out again', async (name, main) => {
  await using dir = await temporaryDirectory('node');
  const certs = `${NODE_KINDS[name]!.directories[0]}/certs.d`;
  const mirrors = `[plugins."io.containerd.cri.v1.images".registry]\nconfig_path = "${certs}"\n`;
  const own = `${certs}/registry.example/hosts.toml`;
  await writeTree(dir.path, {
    [main]: `version = 3\n${mirrors}`,
    [own]: 'server = "https://registry.example"\n',
  });
  const before = await readTree(dir.path);
  const { runtime, ...place } = NODE_KINDS[name]!;
  const options = { ...place, registries: undefined, agent: AGENT, root: dir.path };
  const { changes } = await configure(runtime, { ...options, remove: false });
  expect(changes).toEqual([{ path: `${certs}/_default/hosts.toml`, change: 'written' }]);
  await configure(runtime, { ...options, remove: true });
  expect(await readTree(dir.path)).toEqual(before);
});

test.each(containerds.flatMap(([name, main]) => [[name, main, true] as const, [name, main, false] as const]))(
  'on %s without a config_path in %s (there: %s), it says what to do, of a place it may write to, and writes nothing',
  async (name, main, isThere) => {
    await using dir = await temporaryDirectory('node');
    if (isThere) await writeTree(dir.path, { [main]: 'version = 3\n' });
    const before = await readTree(dir.path);
    const { runtime, ...place } = NODE_KINDS[name]!;
    const options = { ...place, registries: undefined, agent: AGENT, root: dir.path, remove: false };
    const { advice, changes } = await configure(runtime, options);
    expect(changes).toEqual([]);
    const otherwise = isThere ? `Add to ${main} and restart containerd` : 'Make it and restart containerd';
    expect(advice.join('\n')).toContain(place.remedy ?? otherwise);
    expect(advice.join('\n')).toContain(`config_path = "${place.directories[0]}/certs.d"`);
    expect(await readTree(dir.path)).toEqual(before);
  },
);

test.each(kinds)(
  'on %s, all that is read or written lies in the directories that a container is given',
  (_name, kind) => {
    const paths = [kind.main ?? '/etc/containers/registries.conf.d/shoal.conf'];
    for (const path of paths)
      expect(kind.directories.some((directory) => path.startsWith(`${directory}/`))).toBe(true);
  },
);

test('no mirror gets a dial_timeout: it would also cut short the token exchange with a far realm', async () => {
  await using dir = await temporaryDirectory('node');
  await configure('containerd', {
    certs: '/certs',
    registries: undefined,
    agent: AGENT,
    root: dir.path,
    remove: false,
  });
  const [text = ''] = Object.entries(await readTree(dir.path)).flatMap(([path, content]) =>
    path.endsWith('hosts.toml') ? [content.slice(4)] : [],
  );
  expect(parse(text)['host']).toEqual({ 'http://127.0.0.1:29500': { capabilities: ['pull', 'resolve'] } });
});
