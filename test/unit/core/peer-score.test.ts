import { describe, expect, it } from 'vitest';
import { BAN_MS, PeerScores } from '#swarm/core/peer-score.ts';

describe('peer scores', () => {
  it('ban who sent a bad piece at once, for a while, and nobody else', () => {
    const scores = new PeerScores();
    expect(scores.note('liar', 'badPiece', 5)).toBe(true);
    expect(scores.banned('liar', 5 + BAN_MS - 1)).toBe(true);
    expect(scores.banned('liar', 5 + BAN_MS)).toBe(false);
    expect(scores.banned('other', 5)).toBe(false);
  });

  it('ban who had a part in many bad pieces within a short time, not in a few', () => {
    const scores = new PeerScores();
    for (let few = 0; few < 9; few++) expect(scores.note('suspect', 'suspectPiece', 0)).toBe(false);
    expect(scores.note('suspect', 'suspectPiece', 0)).toBe(true);
  });

  it('forget mishaps that are far apart', () => {
    const scores = new PeerScores();
    for (let hour = 0; hour < 50; hour++)
      expect(scores.note('clumsy', 'suspectPiece', hour * 3_600_000)).toBe(false);
  });

  it('keep a ban when more is noted, and begin anew when it is over', () => {
    const scores = new PeerScores();
    scores.note('liar', 'protocol', 0);
    expect(scores.note('liar', 'suspectPiece', 1)).toBe(true);
    expect(scores.banned('liar', BAN_MS)).toBe(false);
    expect(scores.note('liar', 'suspectPiece', BAN_MS + 1_000_000)).toBe(false);
  });

  it('remember a bounded number of peers, the latest', () => {
    const scores = new PeerScores();
    for (let peer = 0; peer < 10_000; peer++) scores.note(`peer ${peer}`, 'badPiece', 0);
    expect(scores.banned('peer 0', 1)).toBe(false);
    expect(scores.banned('peer 9999', 1)).toBe(true);
    const remembered = Array.from({ length: 10_000 }, (_, peer) => scores.banned(`peer ${peer}`, 1));
    expect(remembered.filter(Boolean)).toHaveLength(4_096);
  });
});
