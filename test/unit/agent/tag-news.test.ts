import { expect, test } from 'vitest';
import { TAG_NEWS_MS, TAG_NEWS_WIDTH } from '#agent/defaults.ts';
import { TagNews } from '#agent/pull/tag-news.ts';
import { digestOf } from '#registry/digest.ts';

const OLD = digestOf('the old image');
const NEW = digestOf('the new image');

/** News whose tellings end as the test says. */
function start() {
  const clock = { now: 0 };
  const news = new TagNews(() => clock.now);
  const tellings: PromiseWithResolvers<boolean>[] = [];
  const spread = (tag: string, digest = OLD): void =>
    news.spread(tag, digest, () => {
      const telling = Promise.withResolvers<boolean>();
      tellings.push(telling);
      return telling.promise;
    });
  const end = async (taken: boolean | Error): Promise<void> => {
    const telling = tellings.at(-1)!;
    if (taken instanceof Error) telling.reject(taken);
    else telling.resolve(taken);
    await telling.promise.catch(() => {});
    await Promise.resolve();
  };
  return { clock, spread, end, tellings };
}

test('origins hear of a tag once, and again when it has moved or some time has passed', async () => {
  const { clock, spread, end, tellings } = start();
  spread('app:v1');
  await end(true);
  spread('app:v1');
  expect(tellings).toHaveLength(1);
  spread('app:v1', NEW);
  await end(true);
  clock.now = TAG_NEWS_MS - 1;
  spread('app:v1', NEW);
  expect(tellings).toHaveLength(2);
  clock.now = TAG_NEWS_MS;
  spread('app:v1', NEW);
  expect(tellings).toHaveLength(3);
});

test.each([false, new Error('no origin answers')])(
  'a tag that no origin has taken is told again at the next request (%s)',
  async (failure) => {
    const { spread, end, tellings } = start();
    spread('app:v1');
    await end(failure);
    spread('app:v1');
    expect(tellings).toHaveLength(2);
  },
);

test('any number of requests for a tag tell of it once at a time, and only so many tags are told of at once', async () => {
  const { spread, end, tellings } = start();
  for (let n = 0; n < 100; n++) spread('app:v1');
  expect(tellings).toHaveLength(1);
  for (let n = 0; n < 100; n++) spread(`app:v${n}`);
  expect(tellings).toHaveLength(TAG_NEWS_WIDTH);
  await end(true);
  spread('app:another');
  expect(tellings).toHaveLength(TAG_NEWS_WIDTH + 1);
});
