"""What lies fixed in the frame: profiles a window keeps, lattices, tiles and rhythms read from them, and findings."""
