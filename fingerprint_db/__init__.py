"""What a fingerprint is, which ones are known, and what matched. Knows no Ray and decodes nothing."""
