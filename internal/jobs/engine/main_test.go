package engine_test

import (
	"os"
	"testing"

	"github.com/allcores/allcores/internal/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m).Run()) }
