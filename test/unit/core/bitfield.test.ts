import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield } from '#swarm/core/bitfield.ts';

const length = fc.integer({ min: 0, max: 70 });
const fieldAndIndices = length.chain((bits) =>
  fc.tuple(
    fc.constant(bits),
    fc.array(fc.nat({ max: Math.max(bits - 1, 0) }), { maxLength: bits === 0 ? 0 : 90 }),
  ),
);

describe('a bitfield', () => {
  it('puts piece 0 in the highest bit of the first byte (BEP 3)', () => {
    const field = new Bitfield(10);
    field.add(0);
    field.add(9);
    expect([...field.bytes]).toEqual([0b1000_0000, 0b0100_0000]);
  });

  it('holds what was added and not removed, and knows how many', () => {
    fc.assert(
      fc.property(fieldAndIndices, ([bits, indices]) => {
        const field = new Bitfield(bits);
        const model = new Set<number>();
        for (const [at, index] of indices.entries()) {
          const known = model.has(index);
          const removes = at % 3 === 2;
          expect(removes ? field.remove(index) : field.add(index)).toBe(removes === known);
          if (removes) model.delete(index);
          else model.add(index);
        }
        expect([...field]).toEqual([...model].toSorted((a, b) => a - b));
        expect(field.count).toBe(model.size);
        expect(field.full).toBe(model.size === bits);
        expect(field.some((index) => !model.has(index))).toBe(false);
        expect(field.some(() => true)).toBe(model.size > 0);
      }),
    );
  });

  it('reads back what another side would send of it', () => {
    fc.assert(
      fc.property(fieldAndIndices, ([bits, indices]) => {
        const field = new Bitfield(bits);
        for (const index of indices) field.add(index);
        const parsed = Bitfield.parse(field.bytes, bits);
        expect([...parsed!]).toEqual([...field]);
        expect(parsed!.count).toBe(field.count);
      }),
    );
  });

  it('is refused when it is too short, too long or has a spare bit set, and only then', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 6 }), fc.integer({ min: 0, max: 40 }), (bytes, bits) => {
        const fits = bytes.length === Math.ceil(bits / 8);
        const ones = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
        const spare = ones.slice(bits).includes('1');
        expect(Bitfield.parse(bytes, bits) !== undefined).toBe(fits && !spare);
      }),
    );
  });

  it('does not change when the bytes it was read from do', () => {
    const bytes = Uint8Array.of(0xff);
    const field = Bitfield.parse(bytes, 8)!;
    bytes[0] = 0;
    expect(field.full).toBe(true);
  });

  it('tells in order what another lacks', () => {
    fc.assert(
      fc.property(fieldAndIndices, fc.array(fc.nat({ max: 69 })), ([bits, indices], others) => {
        const [own, other] = [new Bitfield(bits), new Bitfield(bits)];
        for (const index of bits === 0 ? [] : indices) own.add(index);
        for (const index of others) if (index < bits) other.add(index);
        const told: number[] = [];
        for (let index = own.nextWithout(other, 0); index < bits; index = own.nextWithout(other, index + 1))
          told.push(index);
        expect(told).toEqual([...own].filter((index) => !other.has(index)));
        expect(own.nextWithout(other, bits)).toBe(bits);
      }),
    );
  });

  it('is full after it was filled, whatever was in it', () => {
    fc.assert(
      fc.property(fieldAndIndices, ([bits, indices]) => {
        const field = new Bitfield(bits);
        for (const index of indices) field.add(index);
        field.fill();
        expect(field.full).toBe(true);
        expect(Bitfield.parse(field.bytes, bits)).toBeDefined();
      }),
    );
  });
});
