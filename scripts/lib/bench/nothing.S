/* A static program that does nothing: it ends at once, and with an argument it waits until it is killed. */
	.globl _start
_start:
#ifdef __x86_64__
	cmpq $1, (%rsp)
	ja 1f
	mov $60, %eax /* exit */
	xor %edi, %edi
	syscall
1:	mov $34, %eax /* pause */
	syscall
	jmp 1b
#else
	cmpl $1, (%esp)
	ja 1f
	mov $1, %eax /* exit */
	xor %ebx, %ebx
	int $0x80
1:	mov $29, %eax /* pause */
	int $0x80
	jmp 1b
#endif
	.section .note.GNU-stack, "", @progbits
