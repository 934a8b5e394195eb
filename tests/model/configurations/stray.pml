/* A word that all workers go by is overwritten once, at any time: `tail`, `head`, or who is asleep. */
#define TASKS 1
#define SLOTS 3
#define SPINNERS 0
#define HEAD 1
#define STRAY 1
#include "../slot_protocol.pml"
