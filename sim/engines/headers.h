// What every model includes; compiled once (see verilator_build.py).
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>
#include "verilated.h"
