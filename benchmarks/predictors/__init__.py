"""SCR2Net beside what people would pick instead, and beside itself with one part left out."""
