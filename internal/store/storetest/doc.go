// Package storetest gives each test a database of its own on a real
// PostgreSQL, at about 0.1 s a test.
//
// All test processes of a user share one private server (package pglocal) in
// the folder allcores-test-<uid> of the directory for temporary files. The
// first one starts it, the last one out stops it, the cluster stays for the
// next time. A database is copied from a template into which the migrations
// have been run once; the template is found again by the caller's fingerprint
// of the migrations.
//
// A package that wants databases says so in its TestMain, since only there is
// a place after all tests at which to leave the server:
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
// What a killed test process leaves behind, the next one drops.
package storetest
