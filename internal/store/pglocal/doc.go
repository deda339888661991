// Package pglocal runs a private PostgreSQL for this machine: no server to
// install as a service, no database to create, no password to keep.
//
// # Files
//
// Everything lives in one folder, <data directory>/postgres:
//
//	data/              the cluster; owned by the account Postgres runs under, mode 0700
//	run/               the Unix socket; same owner, mode 0700
//	lock               file lock: held while the server is started or stopped
//	users              file lock: held shared by every process that uses the server
//	hba.conf           who may connect; rewritten at each start
//	ident.conf         which accounts of this machine may connect; rewritten at each start
//	server.log         the server's log; server.log.1 is the one before
//	initdb-*           a cluster in the making, renamed to data when it is complete
//
// A socket path has room for about a hundred bytes. If run/ is too deep for that, the
// socket lives in /tmp/allcores-<hash of the data directory>, with
// the same owner and mode. The name follows from the data directory alone, so
// that every process finds it.
//
// # Who owns the server
//
// The server has its own session, survives the process that started it, and belongs
// to all holders of the lock on the file users. Start takes that lock shared and
// starts the server if none answers. Close releases it, and stops the server if no
// other holder is left. Both hold lock meanwhile, so that a start and a stop never
// overlap. The kernel releases the locks of a killed process; its server stays and the
// next Start finds it. The file postmaster.pid belongs to the server and is never
// touched: it keeps a second server away from backends that a dead one has left.
//
// Each holder keeps one idle connection open. When it breaks, the holder waits for a
// recovering server or starts one that is gone. The first holder does it; the others
// find it done.
//
// # Who may connect
//
// There is no TCP listener and no password. Two barriers protect the socket: the mode
// of its folder, and peer authentication, by which the server gets the client's
// account from the kernel. Only root, the server's account and the account that
// started it may connect. A password would add nothing: it would be in a file that the
// same accounts can read.
//
// # Accounts
//
// Postgres refuses to run as root. Started by root, the server runs under the account
// postgres, else nobody; an existing cluster keeps the account that owns it. Root owns
// the surrounding folder and its files, writes nothing in the folders of that account,
// and signals the server with that account's rights only, so that the account gains no
// power over root.
package pglocal
