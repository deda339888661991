// Package storetest gives each test a database of its own on a real
// PostgreSQL, at about 0.1 s a test.
//
// All test processes of a user share one private server (package pglocal) in
// the folder allcores-test-<uid> of the directory for temporary files. The first
// process starts it, the last one stops it, and the cluster stays for the next time. A
// database is a copy of a template that was migrated once. The caller's fingerprint of
// the migrations identifies the template.
//
// A package that uses databases calls Main in its TestMain, which releases the server
// after all tests:
//
//	func TestMain(m *testing.M) { storetest.Main(m).Run() }
//
//	func TestJobs(t *testing.T) {
//		url := storetest.Template{Fingerprint: store.Fingerprint(), Migrate: store.Migrate}.New(t)
//		...
//	}
//
// With goleak it is
//
//	goleak.VerifyTestMain(storetest.Main(m), storetest.IgnoreServer())
//
// and likewise IgnoreServer for a single test's goleak.VerifyNone.
//
// A test process drops the databases that a killed one has left.
package storetest
