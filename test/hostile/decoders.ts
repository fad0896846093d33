import type { Decoder } from './decoder.ts';
import { DOCUMENT_DECODERS } from './document-decoders.ts';
import { WIRE_DECODERS } from './wire-decoders.ts';

export const DECODERS: Readonly<Record<string, Decoder>> = { ...WIRE_DECODERS, ...DOCUMENT_DECODERS };
