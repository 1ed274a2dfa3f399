"""Long proofs of the parser's counting: `make chaos` and `make pythons` write what they saw to docs/proof/."""
