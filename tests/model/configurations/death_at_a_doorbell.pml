/* A worker dies at any step while others spin, sleep and are woken; no retry. */
#define TASKS 2
#define CRASHES 1
#include "../slot_protocol.pml"
