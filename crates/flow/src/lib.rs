//! Call flows: graph, validation, pure stepping.
