/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4) of memory of the current process, or of the kernel, so that a verdict is found
 * by the fingerprint of a certificate before that process goes on.
 */
#ifndef SHA256_H
#define SHA256_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define BLOCK_BYTES	64
#define DIGEST_BYTES	32

struct sha256 {
	__u32 state[8];
	__u32 words[16];	/* The block, then its schedule in a ring of 16. */
	const void *start;
	__u32 bytes;
	__u32 blocks;
	__u16 is_of_kernel;	/* Where the memory is. */
	__u16 is_broken;	/* It is not there. */
};

static const __u32 sha256_round[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#define ROTATE(word, bits)	((word) >> (bits) | (word) << (32 - (bits)))

/* Reads block `index` with its padding. */
static __always_inline int sha256_read(__u32 index, struct sha256 *hash)
{
	__u32 offset = index * BLOCK_BYTES, bytes = 0;

	__builtin_memset(hash->words, 0, sizeof(hash->words));
	if (offset <= hash->bytes) {
		bytes = hash->bytes - offset;
		if (bytes > BLOCK_BYTES)
			bytes = BLOCK_BYTES;
		if (hash->is_of_kernel ?
		    bpf_probe_read_kernel(hash->words, bytes, hash->start + offset) :
		    bpf_probe_read_user(hash->words, bytes, hash->start + offset))
			return -1;
		if (bytes < BLOCK_BYTES)
			((__u8 *)hash->words)[bytes] = 0x80;
	}
	for (int i = 0; i < 16; i++)
		hash->words[i] = bpf_ntohl(hash->words[i]);
	if (index + 1 == hash->blocks)
		hash->words[15] = hash->bytes * 8;	/* Below 2^29 bytes. */
	return 0;
}

static long sha256_block(__u32 index, struct sha256 *hash)
{
	__u32 *w = hash->words, s[8];

	if (sha256_read(index, hash)) {
		hash->is_broken = 1;
		return 1;
	}
	__builtin_memcpy(s, hash->state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		if (i >= 16) {
			__u32 early = w[(i + 1) & 15], late = w[(i + 14) & 15];

			w[i & 15] += (ROTATE(early, 7) ^ ROTATE(early, 18) ^ early >> 3) +
				     w[(i + 9) & 15] +
				     (ROTATE(late, 17) ^ ROTATE(late, 19) ^ late >> 10);
		}
		__u32 one = s[7] + (ROTATE(s[4], 6) ^ ROTATE(s[4], 11) ^ ROTATE(s[4], 25)) +
			    ((s[4] & s[5]) ^ (~s[4] & s[6])) + sha256_round[i] + w[i & 15];
		__u32 two = (ROTATE(s[0], 2) ^ ROTATE(s[0], 13) ^ ROTATE(s[0], 22)) +
			    ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));

		s[7] = s[6];
		s[6] = s[5];
		s[5] = s[4];
		s[4] = s[3] + one;
		s[3] = s[2];
		s[2] = s[1];
		s[1] = s[0];
		s[0] = one + two;
	}
	for (int i = 0; i < 8; i++)
		hash->state[i] += s[i];
	return 0;
}

/* The digest of `bytes` bytes at `start`; not 0 where they cannot be read. */
static __always_inline int sha256_of(const void *start, __u32 bytes, int is_of_kernel,
				     __u8 digest[DIGEST_BYTES])
{
	struct sha256 hash = {
		.state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
			   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
		.start = start,
		.bytes = bytes,
		.blocks = (bytes + 9 + 63) / 64,
		.is_of_kernel = is_of_kernel,
	};

	bpf_loop(hash.blocks, sha256_block, &hash, 0);
	for (int i = 0; i < 8; i++)
		hash.state[i] = bpf_htonl(hash.state[i]);
	__builtin_memcpy(digest, hash.state, DIGEST_BYTES);
	return hash.is_broken;
}

static __always_inline int sha256_of_user(const void *start, __u32 bytes, __u8 digest[DIGEST_BYTES])
{
	return sha256_of(start, bytes, 0, digest);
}

#endif /* SHA256_H */
