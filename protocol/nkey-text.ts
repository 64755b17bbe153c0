/**
 * How NATS writes an Ed25519 key ("nkey"): base32 (RFC 4648, no padding) of a prefix, the key, and their CRC-16/XMODEM, low byte
 * first. Pure: the protocol needs it for the token of a guest, the bus for every login.
 */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

const crc16 = (bytes: Uint8Array): number => {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ ((crc & 0x8000) === 0 ? 0 : 0x1021)) & 0xffff
  }
  return crc
}

/** `bytes`: prefix and key. */
export const encodeNkey = (bytes: Uint8Array): string => {
  const crc = crc16(bytes)
  let held = 0
  let bits = 0
  let text = ''
  for (const byte of [...bytes, crc & 0xff, crc >> 8]) {
    held = ((held & 31) << 8) | byte
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += BASE32[(held >> bits) & 31]
    }
  }
  return bits > 0 ? text + BASE32[(held << (5 - bits)) & 31] : text
}

/** The inverse of {@link encodeNkey}. @throws TypeError for other characters or a wrong checksum. */
export const decodeNkey = (text: string): Uint8Array => {
  const bytes: number[] = []
  let held = 0
  let bits = 0
  for (const character of text) {
    const value = BASE32.indexOf(character)
    if (value < 0) throw new TypeError('an nkey is written in base32')
    held = ((held & 255) << 5) | value
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes.push((held >> bits) & 255)
    }
  }
  const whole = Uint8Array.from(bytes)
  const body = whole.subarray(0, -2)
  const [low, high] = whole.subarray(-2)
  if (whole.length < 2 || crc16(body) !== ((low as number) | ((high as number) << 8)))
    throw new TypeError('the checksum of the nkey does not fit')
  return body
}
