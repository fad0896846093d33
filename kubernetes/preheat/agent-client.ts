import { Compile } from 'typebox/compile';
import type { Dispatcher } from 'undici';

import { parseOciErrors } from '#registry/oci-error.ts';
import { readBody } from '#registry/response-body.ts';
import { MAX_WARM_ANSWER_BYTES, WARM_PATH, WarmAnswer } from '#service/warm-messages.ts';
import type { WarmRequest } from '#service/warm-messages.ts';

import { ASK_TIMEOUT_MS } from './constants.ts';

/** An agent gave no usable answer. */
class AgentAnswerError extends Error {
  override readonly name = 'AgentAnswerError';
}

export interface AgentClientParts {
  /** Connections that prove cluster membership. Not closed here. */
  readonly dispatcher: Dispatcher;
  readonly scheme: 'http' | 'https';
}

/** Asks agents to hold images. */
export class AgentClient {
  readonly #parts: AgentClientParts;

  constructor(parts: AgentClientParts) {
    this.#parts = parts;
  }

  /**
   * @param agent `host:port` of its member listener
   * @throws AgentAnswerError, what the connection failed with, the signal's reason
   */
  async warm(agent: string, request: WarmRequest, signal: AbortSignal): Promise<WarmAnswer> {
    const { dispatcher, scheme } = this.#parts;
    const response = await dispatcher.request({
      origin: `${scheme}://${agent}`,
      path: WARM_PATH,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
      signal: AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]),
    });
    const bytes = await readBody(response.body, MAX_WARM_ANSWER_BYTES);
    if (response.statusCode !== 200) {
      const told = parseOciErrors(bytes)[0]?.message ?? `status ${response.statusCode}`;
      throw new AgentAnswerError(`the agent answered: ${told}`);
    }
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (!Shape.Check(value)) throw new AgentAnswerError('the agent’s answer is malformed');
    const [, asked] = request.image.split('@');
    if (asked !== undefined && value.digest !== undefined && value.digest !== asked)
      throw new AgentAnswerError(`the agent answered for ${value.digest}, which it was not asked for`);
    return value;
  }
}

const Shape = Compile(WarmAnswer);
