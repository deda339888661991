// Package pglocal runs a private PostgreSQL for this machine: no server to
// install as a service, no database to create, no password to keep.
//
// # What lies where
//
// Everything lives in one folder, <data directory>/postgres:
//
//	data/              the cluster; owned by the account Postgres runs under, mode 0700
//	run/               the Unix socket; same owner, mode 0700
//	lock               file lock: held while the server is started or stopped
//	users              file lock: held shared by every process that uses the server
//	hba.conf           who may connect; rewritten at each start
//	ident.conf         which accounts of this machine may connect; rewritten at each start
//	server.log         what the server has to say; server.log.1 is the one before
//	initdb-*           a cluster in the making, renamed to data when it is complete
//
// A socket path has room for about a hundred bytes. Where run/ is too deep for
// that, the socket lives in /tmp/allcores-<hash of the data directory>, with
// the same owner and mode. The name follows from the data directory alone, so
// that every process finds it.
//
// # Who owns the server
//
// Nobody and everybody: the server has its own session, survives the process
// that started it, and belongs to all holders of the lock on the file users.
// Start takes that lock shared and starts the server if none answers. Close
// gives it back, and stops the server if no other holder is left. Both do so
// holding lock, so that a start and a stop never meet. The kernel frees the
// locks of a process that was killed; its server stays and the next Start
// finds it. The file postmaster.pid is the server's own and is never touched:
// it keeps a second server away from backends a dead one has left behind.
//
// Each holder keeps one idle connection open. When that breaks, the holder
// looks after the server: it waits for one that is recovering and starts one
// that is gone. Whoever comes first does it, the others find it done.
//
// # Who may connect
//
// There is no TCP listener and no password. Two walls stand around the socket:
// the mode of its folder, and peer authentication, by which the kernel tells
// the server the account of whoever connects. Only root, the account the
// server runs under and the account that started it are let in. A password
// would add nothing: it would lie in a file that the same accounts can read.
//
// # Accounts
//
// Postgres refuses to run as root. Started by root, the server runs under the
// account postgres, else nobody, and an existing cluster keeps the account
// that owns it. Root keeps the surrounding folder and its files, writes
// nothing inside the folders of that account, and signals the server with that
// account's rights only, so that the account gains nothing over root.
package pglocal
