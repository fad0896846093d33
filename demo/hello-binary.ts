const LOAD_ADDRESS = 0x400000;
const HEADER_BYTES = 64 + 56;

export type Architecture = 'amd64' | 'arm64';

/**
 * A static Linux executable of some two hundred bytes that prints `message` and exits with 0,
 * so that the image runs without a file from the machine that made it. At most 4 KiB of message.
 */
export function helloBinary(architecture: Architecture, message: string): Buffer {
  const text = Buffer.from(message);
  if (text.length > 4096) throw new Error(`message of ${text.length} bytes; at most 4096 are allowed`);
  const code = architecture === 'amd64' ? amd64Code(text.length) : arm64Code(text.length);
  const size = HEADER_BYTES + code.length + text.length;
  return Buffer.concat([elfHeader(architecture), programHeader(size), code, text]);
}

/** ELF-64, little-endian, one program header, entry right behind it. */
function elfHeader(architecture: Architecture): Buffer {
  const bytes = Buffer.alloc(64);
  bytes.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  bytes.writeUInt16LE(2, 16); // ET_EXEC
  bytes.writeUInt16LE(architecture === 'amd64' ? 62 : 183, 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(LOAD_ADDRESS + HEADER_BYTES), 24);
  bytes.writeBigUInt64LE(64n, 32); // program header offset
  bytes.writeUInt16LE(64, 52);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(1, 56);
  return bytes;
}

function programHeader(size: number): Buffer {
  const bytes = Buffer.alloc(56);
  bytes.writeUInt32LE(1, 0); // PT_LOAD
  bytes.writeUInt32LE(5, 4); // readable, executable
  bytes.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 16);
  bytes.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 24);
  bytes.writeBigUInt64LE(BigInt(size), 32);
  bytes.writeBigUInt64LE(BigInt(size), 40);
  bytes.writeBigUInt64LE(0x10000n, 48);
  return bytes;
}

/** write(1, text, length); exit(0). The text follows the 33 bytes of code. */
function amd64Code(length: number): Buffer {
  const code = Buffer.from(
    'b801000000' + // mov eax, 1
      'bf01000000' + // mov edi, 1
      '488d3510000000' + // lea rsi, [rip+16]
      'ba00000000' + // mov edx, length
      '0f05' + // syscall
      'b83c000000' + // mov eax, 60
      '31ff' + // xor edi, edi
      '0f05', // syscall
    'hex',
  );
  code.writeUInt32LE(length, 18);
  return code;
}

/** The same calls; the text follows the eight instructions. */
function arm64Code(length: number): Buffer {
  const systemCall = 0xd4000001;
  const instructions = [
    moveTo(0, 1),
    0x100000e1, // adr x1, +28
    moveTo(2, length),
    moveTo(8, 64),
    systemCall,
    moveTo(0, 0),
    moveTo(8, 93),
    systemCall,
  ];
  const code = Buffer.alloc(instructions.length * 4);
  instructions.forEach((instruction, index) => code.writeUInt32LE(instruction, index * 4));
  return code;
}

/** movz x<register>, #<value> */
function moveTo(register: number, value: number): number {
  return 0xd2800000 + value * 32 + register;
}
