// RSA keys of TPMs whose firmware draws primes from a small set (CVE-2017-15361, "ROCA"): their owner is whoever spends some months of
// computing on the public key. Such a modulus is a power of 65537 modulo many small primes, which other moduli are not.

// Only the primes modulo which 65537 does not generate everything tell anything; another modulus passes all with 2^-27.
const PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157]
const GENERATOR = 65_537

const POWERS: ReadonlyMap<number, ReadonlySet<number>> = new Map(
  PRIMES.map((prime) => [prime, powersModulo(prime)]),
)

/** True if the modulus, big-endian, has the fingerprint of a key that can be factored. */
export function isWeakModulus(modulus: Uint8Array): boolean {
  return PRIMES.every((prime) => {
    let rest = 0
    for (const byte of modulus) rest = (rest * 256 + byte) % prime
    return POWERS.get(prime)?.has(rest) === true
  })
}

function powersModulo(prime: number): ReadonlySet<number> {
  const powers = new Set<number>()
  for (let power = 1; !powers.has(power); power = (power * GENERATOR) % prime) powers.add(power)
  return powers
}
