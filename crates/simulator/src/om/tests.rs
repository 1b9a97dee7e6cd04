//! Commands against one device's engine, without a socket.
