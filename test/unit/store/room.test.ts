import { expect, test } from 'vitest';
import { DISK_RELIEF_BYTES } from '#swarm/store/constants.ts';
import { StoreFullError } from '#swarm/store/errors.ts';
import { Room, type Victim } from '#swarm/store/room.ts';

/** A room filled with victims of one size; removing one frees it. */
function filledRoom(count: number, bytes: number): { room: Room; left: () => number } {
  let left = count;
  const victim: Victim = {
    remove: async () => {
      left -= 1;
      room.release(bytes);
      return { kind: 'blob', bytes };
    },
  };
  const room: Room = new Room(
    {
      async *victims() {
        yield* Array.from({ length: left }, () => victim);
      },
      evictable: () => left * bytes,
      crowded: () => false,
    },
    count * bytes,
  );
  room.charge(count * bytes);
  return { room, left: () => left };
}

function diskFull(): Error {
  return Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
}

test('writes that meet a full disk together have one eviction, not one each', async () => {
  const { room, left } = filledRoom(10, DISK_RELIEF_BYTES);
  const write = (): Promise<void> =>
    room.retryWhenDiskFull(1, async () => {
      if (left() === 10) throw diskFull();
    });
  await Promise.all([write(), write(), write(), write()]);
  expect(left()).toBe(9);
  expect(room.evictions).toBe(1);
});

test('a disk that stays full does not cost everything that is stored', async () => {
  const { room, left } = filledRoom(100, DISK_RELIEF_BYTES);
  let attempts = 0;
  const write = room.retryWhenDiskFull(1, async () => {
    attempts += 1;
    throw diskFull();
  });
  await expect(write).rejects.toThrow(StoreFullError);
  await expect(write).rejects.toMatchObject({ cause: { code: 'ENOSPC' } });
  expect(attempts).toBe(9);
  expect(left()).toBe(92);
});

test('reservations made side by side never exceed the quota', async () => {
  const { room } = filledRoom(10, 100);
  const most: number[] = [];
  const results = await Promise.allSettled(
    Array.from({ length: 15 }, async () => {
      await room.reserve(90);
      most.push(room.charged);
    }),
  );
  expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(11);
  expect(Math.max(...most)).toBeLessThanOrEqual(1000);
  await expect(room.reserve(1001)).rejects.toThrow(/exceed the store's quota/u);
});
