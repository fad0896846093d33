/**
 * Sums the samples of a counter in the Prometheus text format.
 * @param label only samples whose labels contain this text, such as `source="peer"`
 */
export function sumOf(text: string, name: string, label = ''): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .filter((line) => line.includes(label))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
