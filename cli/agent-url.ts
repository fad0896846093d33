import { InvalidArgumentError, Option } from 'commander';

/** Where the agent's door is. */
export function agentOption(): Option {
  return new Option('--agent <url>', "the agent's door")
    .env('SHOAL_AGENT')
    .argParser(parseAgentUrl)
    .default(new URL('http://127.0.0.1:29500'), 'http://127.0.0.1:29500');
}

function parseAgentUrl(text: string): URL {
  const url = URL.parse(text);
  const isBare = url && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (url && isBare && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new InvalidArgumentError('http://host:port is allowed');
}
