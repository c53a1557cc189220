"""Where rows are kept: one interface, two stores."""
